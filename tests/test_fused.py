"""The fused supernet is the plain one: outputs, gradients and statistics, in float64."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from cell_networks import gumbel_softmax
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.space.cell.fused.cell import FusedCell
from snas_tune.space.cell.kernels import bindings as native
from snas_tune.space.cell.ops import OPS
from snas_tune.space.cell.space import CellSpace
from snas_tune.space.cell.supernet import CellSupernet
from snas_tune.space.space import ImageShape
from snas_tune.training.recalibrate import recalibrate
from snas_tune.training.runtime import choose_runtime
from snas_tune.training.seeds import generator_for

TIGHT = {"rtol": 1e-9, "atol": 1e-9}
EXECUTORS = ("native", "torch")


@st.composite
def spaces(draw):
    """A small search space, and how many images a batch has."""
    stem = draw(st.sampled_from(["cifar", "cifar", "cifar", "imagenet"]))
    channels = draw(st.sampled_from([2, 3, 4, 8, 9, 17]))
    config = SearchConfig(
        cells=draw(st.integers(3, 4)),
        channels=channels,
        partial_channels=draw(st.sampled_from([1, 1, 2, 4]).filter(lambda k: channels % k == 0)),
        nodes=draw(st.integers(1, 5)),
        ops=tuple(draw(st.lists(st.sampled_from(list(OPS)), min_size=2, max_size=5, unique=True))),
        stem=stem,
        seed=draw(st.integers(0, 1000)),
    )
    side = draw(st.integers(40, 43) if stem == "imagenet" else st.integers(6, 10))
    space = CellSpace(config, ImageShape(side, channels=draw(st.sampled_from([1, 3])), classes=3))
    # Of two values a batch norm makes plus and minus one: sums of them cancel to a zero whose sign
    # is rounding, and ReLU has no gradient to compare there.
    return space, draw(st.integers(3, 5))


def native_kernels_or_torch(executor):
    """Inside, the fused form runs through the native kernels, or through torch's operators."""
    if executor == "torch":
        return native.switched_off()
    assert native.available(torch.device("cpu"), torch.float64)
    return contextlib.nullcontext()


def both_forms(space):
    torch.manual_seed(space.config.seed)
    plain = CellSupernet(space.candidates).double()
    fused = CellSupernet(space.candidates, FusedCell).double()
    fused.load_tensors(dict(plain.named_tensors()))
    return plain, fused


def logits_of(space):
    generator = generator_for(space.config.seed, "logits", 0)
    shape = (len(space.choices), len(space.config.ops))
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def sample_of(logits, seed):
    return gumbel_softmax(logits, 0.7, generator_for(seed, "sample", 0))


def inputs_of(space, batch):
    generator = torch.Generator().manual_seed(space.config.seed)
    shape = (batch, space.images.channels, space.images.size, space.images.size)
    images = torch.randn(shape, generator=generator, dtype=torch.float64)
    edges = len(space.candidates.pairs)
    keep = (torch.rand(space.config.cells, edges, batch, generator=generator) > 0.3).double() / 0.7
    return images, keep


@st.composite
def ops_that_run(draw, space):
    """None for all, else some positions for every edge of both types; often none or one."""
    if draw(st.booleans()):
        return None
    positions = st.lists(st.integers(0, len(space.config.ops) - 1), max_size=2, unique=True)
    choices = len(space.choices)
    return draw(st.lists(positions, min_size=choices, max_size=choices))


def gradient_or_zero(tensor):
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def gradients_of(net: CellSupernet):
    """Every weight's gradient under its plain name."""
    shadow = copy.deepcopy(net)
    for weight, mine in zip(shadow.parameters(), net.parameters(), strict=True):
        weight.data = gradient_or_zero(mine)
    return {n: t for n, t in shadow.named_tensors() if n.endswith((".weight", ".bias"))}


@pytest.mark.parametrize("executor", EXECUTORS)
@settings(deadline=None, max_examples=20)
@given(search=spaces(), dropped=st.booleans(), data=st.data())
def test_outputs_gradients_and_statistics_are_the_plain_ones(executor, search, dropped, data):
    both_forms_agree(executor, *search, dropped, data.draw(ops_that_run(search[0])))


@pytest.mark.parametrize("partial", [2, 4])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_they_are_with_partial_channels_and_every_op_of_darts(executor, partial):
    config = SearchConfig(cells=3, channels=8, nodes=2, partial_channels=partial)
    space = CellSpace(config, ImageShape(7, channels=1, classes=3))
    both_forms_agree(executor, space, batch=4, dropped=True, active=None)


def both_forms_agree(executor, space, batch, dropped, active):
    images, keep = inputs_of(space, batch)
    results = []
    with native_kernels_or_torch(executor):
        for net in both_forms(space):
            logits = logits_of(space)
            sample = sample_of(logits, space.config.seed)
            output = net.train()(images, sample, keep if dropped else None, active)
            output.logsumexp(-1).square().sum().backward()
            by_logits = gradient_or_zero(logits)
            results.append((output.detach(), by_logits, gradients_of(net), net))
    (output, logits, weights, plain), (found, fused_logits, fused_weights, fused) = results
    torch.testing.assert_close(found, output, **TIGHT)
    torch.testing.assert_close(fused_logits, logits, **TIGHT)
    assert set(fused_weights) == set(weights)
    for name, gradient in weights.items():
        torch.testing.assert_close(fused_weights[name], gradient, **TIGHT, msg=name)
    statistics = dict(fused.named_tensors())
    for name, value in plain.named_tensors():
        # A node's pooling is one for all its edges: it has statistics as soon as one of them ran.
        if active is None or "_pool_" not in name:
            torch.testing.assert_close(statistics[name], value, **TIGHT, msg=name)


@pytest.mark.parametrize("executor", [*EXECUTORS, "plain"])
@settings(deadline=None, max_examples=5)
@given(search=spaces(), data=st.data())
def test_activations_that_are_computed_again_change_nothing(executor, search, data):
    space, batch = search
    active = data.draw(ops_that_run(space))
    images, keep = inputs_of(space, batch)
    results = []
    with contextlib.nullcontext() if executor == "plain" else native_kernels_or_torch(executor):
        for again in (False, True):
            net, logits = both_forms(space)[executor != "plain"], logits_of(space)
            net.checkpointing = again
            sample = sample_of(logits, space.config.seed)
            output = net.train()(images, sample, keep, active)
            output.logsumexp(-1).square().sum().backward()
            by_logits = gradient_or_zero(logits)
            results.append(
                {
                    "output": output.detach(),
                    "logits": by_logits,
                    "weights": gradients_of(net),
                    "statistics": net.state_dict(),
                }
            )
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
@settings(deadline=None, max_examples=8)
@given(search=spaces())
def test_in_evaluation_running_statistics_are_used_and_kept(executor, search):
    space, batch = search
    images, _ = inputs_of(space, batch)
    plain, fused = both_forms(space)
    with native_kernels_or_torch(executor), torch.no_grad():
        sample = sample_of(logits_of(space), space.config.seed)
        for net in (plain, fused):
            net.train()(images, sample)
        before = copy.deepcopy(fused.state_dict())
        torch.testing.assert_close(
            fused.eval()(images, sample), plain.eval()(images, sample), **TIGHT
        )
    assert all(torch.equal(before[name], value) for name, value in fused.state_dict().items())


@settings(deadline=None, max_examples=8)
@given(search=spaces())
def test_weights_convert_both_ways_without_loss(search):
    space, _ = search
    plain, fused = both_forms(space)
    again = CellSupernet(space.candidates).double()
    again.load_tensors(dict(fused.named_tensors()))
    state = again.state_dict()
    assert list(state) == list(plain.state_dict())
    for name, value in plain.state_dict().items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(state[name], value), name


@settings(deadline=None, max_examples=8)
@given(search=spaces())
def test_a_child_inherits_the_same_from_either_form(search):
    space, batch = search
    images, _ = inputs_of(space, batch)
    outputs = []
    for net in both_forms(space):
        genotype = space.derive(logits_of(space).argmax(-1).tolist())
        child = ChildNetwork(genotype, space.skeleton, affine=False).double()
        child.inherit(net)
        recalibrate(child, [images])
        with torch.no_grad():
            outputs.append(child(images))
    assert torch.equal(*outputs)


def space_of(side, colours, classes, **settings):
    return CellSpace(SearchConfig(cells=3, **settings), ImageShape(side, colours, classes))


def test_the_fused_form_starts_with_the_plain_forms_weights():
    space = space_of(8, 1, 2, channels=4, nodes=2)
    torch.manual_seed(5)
    plain = dict(space.supernet("plain").named_tensors())
    torch.manual_seed(5)
    for name, value in space.supernet("fused").named_tensors():
        assert torch.equal(plain[name], value), name


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_native_kernels_agree_in_float32_at_any_number_of_threads(threads):
    space = space_of(12, 3, 4, channels=16, nodes=2)
    plain, fused = (net.float() for net in both_forms(space))
    images, _ = inputs_of(space, 5)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        gradients = []
        for net in (plain, fused):
            sample = sample_of(logits_of(space), 0).float()
            net(images.float(), sample).logsumexp(-1).sum().backward()
            gradients.append(gradients_of(net))
    finally:
        torch.set_num_threads(before)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=2e-3, atol=2e-4, msg=name)


def test_placed_in_channels_last_format_the_function_stays_and_converts():
    """Weights of four dimensions that are no convolution must not be laid out as one."""
    space = space_of(8, 3, 4, channels=8, nodes=2)
    plain, fused = (net.float() for net in both_forms(space))
    runtime = choose_runtime(SearchConfig(channels_last=True, device="cpu"))
    assert next(str(each) for each in space.implementations(runtime)) == "fused channels-last"
    runtime.place(fused)
    images = inputs_of(space, 4)[0].float()
    sample = sample_of(logits_of(space), 0).float()
    with torch.no_grad():
        torch.testing.assert_close(
            fused(images, sample), plain(images, sample), rtol=1e-4, atol=1e-5
        )
    tensors = dict(fused.named_tensors())
    for name, value in plain.named_parameters():
        assert torch.equal(tensors[name], value), name


def test_a_slice_of_channels_is_read_as_its_copy():
    space = space_of(6, 1, 2, channels=4, nodes=1)
    _, fused = both_forms(space)
    node_ops = fused.cells[0].node_ops[0]
    sample = torch.rand(2, len(space.config.ops), dtype=torch.float64)
    whole = torch.randn(3, 8, 6, 6, dtype=torch.float64).to(memory_format=torch.channels_last)
    with torch.no_grad():
        sliced = node_ops(whole[:, 4:], sample, None)
        copied = node_ops(whole[:, 4:].contiguous(), sample, None)
    for one, other in zip(sliced, copied, strict=True):
        torch.testing.assert_close(one, other, **TIGHT)


def test_a_graph_that_is_kept_gives_the_same_gradient_again():
    space = space_of(8, 1, 2, channels=4, nodes=2)
    _, fused = both_forms(space)
    images, _ = inputs_of(space, 3)
    sample = sample_of(logits_of(space), 0)
    loss = fused(images, sample).logsumexp(-1).sum()
    once, again = (
        torch.autograd.grad(loss, list(fused.parameters()), retain_graph=True) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_nan_in_the_images_reaches_the_output():
    space = space_of(8, 1, 2, channels=4, nodes=2)
    _, fused = both_forms(space)
    images, _ = inputs_of(space, 2)
    images[0, 0, 3, 3] = float("nan")
    sample = sample_of(logits_of(space), 0)
    assert fused(images, sample).isnan().any()


def test_an_op_that_the_search_lacks_is_refused_by_name():
    space = space_of(5, 1, 2, channels=2, nodes=1, ops=("none", "skip_connect"))
    _, fused = both_forms(space)
    with pytest.raises(ValueError, match=r"^op must be one of skip_connect, got 'sep_conv_3x3'$"):
        fused.cells[0].op_tensors(0, "sep_conv_3x3")


def test_the_full_op_set_has_native_kernels_for_every_separable_op():
    space = space_of(5, 1, 2, channels=2, nodes=2)
    out_edges = space.supernet("fused").cells[0].node_ops[0].out_edges
    assert {op.name for op in out_edges.ops} == {op for op in DARTS_OPS if "conv" in op}
