from __future__ import annotations

import copy

import pytest
import torch
from cell_networks import candidates_of, gumbel_softmax, spread_logits, supernet_of
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.space.cell.candidates import Candidates
from snas_tune.space.cell.genotype import cell_edges
from snas_tune.space.cell.ops import build_op
from snas_tune.space.cell.plan import reduction_cells
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cell.supernet import CellSupernet
from snas_tune.space.choices import option_mask
from snas_tune.training.seeds import generator_for


def test_the_published_supernet_has_its_published_size():
    config = SearchConfig()
    candidates = candidates_of(config, image_size=32, image_channels=3, classes=10)
    net = CellSupernet(candidates)
    assert sum(p.numel() for p in net.parameters()) == 1_930_618
    assert option_mask(candidates.choices).shape == (2 * 14, 8)
    assert net.paths == (8, 14)
    assert {i for i, kind in enumerate(net.kinds) if kind} == {2, 5} == reduction_cells(8)


def definition(net: CellSupernet, config: SearchConfig, images, sample, keep):
    """``x_j = sum_i keep_ij sum_k Z_ijk O_ijk(x_i)`` word for word, ops built again and filled."""
    x = images
    for stage in net.stem:
        x = stage(x)
    before, last = x, x
    for i, cell in enumerate(net.cells):
        kind = net.kinds[i]
        nodes = [cell.preprocess[0](before), cell.preprocess[1](last)]
        channels = nodes[0].shape[1]
        pairs = cell_edges(config.nodes)
        weights = sample.view(2, len(pairs), len(config.ops))[kind]
        for node in range(2, 2 + config.nodes):
            total = 0.0
            for e, (source, target) in enumerate(pairs):
                if target != node:
                    continue
                stride = 2 if kind == 1 and source < 2 else 1
                for k, name in enumerate(config.ops):
                    op = build_op(name, channels, stride, affine=False).double()
                    if name != "none":
                        op.load_state_dict(cell.edges[e].ops[name].state_dict())
                        parameters = dict(cell.edges[e].ops[name].named_parameters())
                        y = torch.func.functional_call(op, parameters, (nodes[source],))
                    else:
                        y = op(nodes[source])
                    total = total + keep[i, e].view(-1, 1, 1, 1) * weights[e, k] * y
            nodes.append(total)
        before, last = last, torch.cat(nodes[2:], 1)
    return last.mean((2, 3)) @ net.classifier.weight.T + net.classifier.bias


@settings(deadline=None, max_examples=6)
@given(
    st.integers(1, 2),
    st.integers(3, 4),
    st.lists(st.sampled_from(DARTS_OPS), min_size=2, max_size=8, unique=True),
    st.sampled_from([5, 8]),
    st.integers(0, 1000),
)
def test_outputs_and_gradients_are_those_of_the_definition(nodes, cells, ops, side, seed):
    config = SearchConfig(cells=cells, channels=2, nodes=nodes, ops=tuple(ops))
    candidates = candidates_of(config, image_size=side, image_channels=1, classes=3)
    net, logits = supernet_of(candidates, seed=seed), spread_logits(candidates, seed)
    images = torch.randn(3, 1, side, side, dtype=torch.float64)
    keep = (torch.rand(cells, len(cell_edges(nodes)), 3) > 0.3).double() / 0.7
    results = []
    for forward in (
        lambda sample: net(images, sample, keep),
        lambda sample: definition(net, config, images, sample, keep),
    ):
        net.zero_grad()
        logits.grad = None
        output = forward(gumbel_softmax(logits, 0.7, generator_for(seed, "sample", 0)))
        output.logsumexp(-1).sum().backward()
        results.append([output.detach()] + [p.grad.clone() for p in (logits, *net.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_an_unknown_op_is_refused_before_anything_is_built():
    candidates = Candidates(Skeleton(8, 16, "cifar", 8, 1, 2), 4, ("none", "sep_conv_11x11"))
    with pytest.raises(ValueError, match=r"op must be one of .*, got 'sep_conv_11x11'"):
        CellSupernet(candidates)


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_ops_that_do_not_run_are_as_none_and_keep_their_statistics(seed, nodes):
    """The oracle: all ops run, with the sample set to 0 where they should not."""
    config = SearchConfig(cells=3, channels=2, nodes=nodes)
    candidates = candidates_of(config, image_size=7, image_channels=1, classes=3)
    net, edges = supernet_of(candidates, seed=seed), len(candidates.pairs)
    whole = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.zeros(2 * edges, len(config.ops), dtype=torch.float64)
    runs = torch.rand(logits.shape, generator=generator) < 0.25
    active = [row.nonzero().flatten().tolist() for row in runs]
    sample = gumbel_softmax(logits, 0.7, generator)
    images = torch.randn(4, 1, 7, 7, generator=generator, dtype=torch.float64)
    found = net(images, sample, None, active)
    torch.testing.assert_close(found, whole(images, sample * runs), rtol=1e-9, atol=1e-9)
    ran = dict(net.named_tensors())
    for name, tensor in whole.named_tensors():
        if ".ops." not in name:
            continue
        _, cell, _, edge, _, op, _ = name.split(".", 6)
        expected = tensor
        ran_here = runs[net.kinds[int(cell)] * edges + int(edge), config.ops.index(op)]
        if name.endswith("num_batches_tracked"):
            expected = ran_here.long()
        elif not ran_here:
            expected = {"mean": torch.zeros_like(tensor), "var": torch.ones_like(tensor)}.get(
                name.rsplit("_", 1)[-1], tensor
            )
        torch.testing.assert_close(ran[name], expected, msg=name)
