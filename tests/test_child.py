from __future__ import annotations

import copy

import pytest
import torch
from cell_networks import candidates_of, one_hot_of, supernet_of
from hypothesis import given, settings
from hypothesis import strategies as st
from published import DARTS_V2, PUBLISHED
from strategies import divisors, search_space_genotypes
from torch import nn

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.space.cell.cost import genotype_cost
from snas_tune.space.cell.genotype import Cell, Edge, Genotype
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cost import COUNTED, module_cost
from snas_tune.training.recalibrate import recalibrate

SMALL_OPS = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
WITHOUT_NONE = ("skip_connect", "avg_pool_3x3", "nor_conv_3x3")
TIGHT = {"rtol": 1e-9, "atol": 1e-9}


@st.composite
def searches(draw):
    """The candidates of a small search, and a genotype that it can derive."""
    stem = draw(st.sampled_from(["cifar", "cifar", "imagenet"]))
    nodes = draw(st.integers(1, 3))
    ops = draw(st.sampled_from([SMALL_OPS, SMALL_OPS, WITHOUT_NONE]))
    channels = draw(st.integers(2, 4))
    config = SearchConfig(
        cells=draw(st.integers(3, 6)),
        channels=channels,
        partial_channels=draw(st.one_of(st.just(1), divisors(channels))),
        nodes=nodes,
        ops=ops,
        stem=stem,
    )
    side = draw(st.integers(32, 35) if stem == "imagenet" else st.integers(5, 8))
    channels = draw(st.sampled_from([1, 3]))
    candidates = candidates_of(config, image_size=side, image_channels=channels, classes=3)
    return candidates, draw(search_space_genotypes(nodes, ops))


def images_for(skeleton, batch=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, skeleton.image_channels, skeleton.image_size, skeleton.image_size)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def child_of(supernet, genotype, keep_dead=False):
    child = ChildNetwork(
        genotype, supernet.candidates.skeleton, affine=False, keep_dead=keep_dead
    ).double()
    child.inherit(supernet)
    return child.train()


def costs(genotype, skeleton, **kwargs):
    return {name: genotype_cost(name, genotype, skeleton, **kwargs) for name in COUNTED}


def counted(genotype, skeleton, **kwargs):
    """The costs of the network as built, one pass through the whole of it."""
    with torch.device("meta"):
        child = ChildNetwork(genotype, skeleton, **kwargs)
    side = skeleton.image_size
    return module_cost(child, torch.empty(1, skeleton.image_channels, side, side, device="meta"))


def test_darts_as_published_has_its_weights_and_multiply_adds():
    genotype, skeleton = Genotype.from_text(DARTS_V2), Skeleton(20, 36, "cifar", 32, 3, 10)
    built = counted(genotype, skeleton, affine=True, keep_dead=True)
    assert built["params"] == 3_349_342
    assert built["flops"] == 528_359_040
    assert costs(genotype, skeleton, affine=True, keep_dead=True) == built


def test_darts_on_imagenet_has_its_published_weights():
    genotype, skeleton = Genotype.from_text(DARTS_V2), Skeleton(14, 48, "imagenet", 224, 3, 1000)
    assert counted(genotype, skeleton, affine=True, keep_dead=True)["params"] == 4_718_752
    assert genotype_cost("params", genotype, skeleton, affine=True, keep_dead=True) == 4_718_752


@pytest.mark.parametrize(
    "skeleton", [Skeleton(5, 4, "cifar", 9, 3, 10), Skeleton(4, 2, "imagenet", 37, 1, 3)]
)
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_genotype_costs_what_its_network_does(name, skeleton):
    genotype = Genotype.from_text(PUBLISHED[name])
    for keep_dead in (True, False):
        kinds = {"affine": keep_dead, "keep_dead": keep_dead}
        assert costs(genotype, skeleton, **kinds) == counted(genotype, skeleton, **kinds)


@settings(deadline=None, max_examples=10)
@given(searches(), st.booleans(), st.booleans())
def test_a_derived_genotype_costs_what_its_network_does(search, affine, keep_dead):
    candidates, genotype = search
    skeleton, kinds = candidates.skeleton, {"affine": affine, "keep_dead": keep_dead}
    assert costs(genotype, skeleton, **kinds) == counted(genotype, skeleton, **kinds)


@settings(deadline=None, max_examples=25)
@given(searches())
def test_the_children_compute_what_the_supernet_does_under_the_one_hot_sample(search):
    candidates, genotype = search
    supernet, images = supernet_of(candidates), images_for(candidates.skeleton)
    with torch.no_grad():
        expected = supernet(images, one_hot_of(genotype, candidates))
        for keep_dead in (True, False):
            found = child_of(supernet, genotype, keep_dead)(images)
            torch.testing.assert_close(found, expected, **TIGHT)


def test_a_child_of_the_full_op_set_computes_what_the_supernet_does():
    config = SearchConfig(cells=4, channels=3, nodes=2)
    candidates = candidates_of(config, image_size=7, image_channels=1, classes=2)
    supernet, images = supernet_of(candidates), images_for(candidates.skeleton)
    for op in DARTS_OPS[1:]:
        cell = Cell(2, (Edge(op, 0, 2), Edge("skip_connect", 1, 2), Edge(op, 2, 3)), (2, 3))
        genotype = Genotype(cell, cell)
        with torch.no_grad():
            expected = supernet(images, one_hot_of(genotype, candidates))
            torch.testing.assert_close(child_of(supernet, genotype)(images), expected, **TIGHT)


def test_a_network_without_edges_answers_with_the_bias():
    config = SearchConfig(cells=3, channels=2, nodes=1)
    candidates = candidates_of(config, image_size=5, image_channels=1, classes=4)
    supernet = supernet_of(candidates)
    empty = Cell(1, (), (2,))
    for keep_dead in (True, False):
        child = child_of(supernet, Genotype(empty, empty), keep_dead)
        found = child(images_for(candidates.skeleton))
        torch.testing.assert_close(found, supernet.classifier.bias.expand(3, -1))


@settings(deadline=None, max_examples=10)
@given(searches())
def test_recalibration_sets_the_mean_over_batches_of_mean_and_unbiased_variance(search):
    candidates, genotype = search
    skeleton, child = candidates.skeleton, child_of(supernet_of(candidates), genotype)
    with torch.no_grad():
        child(images_for(skeleton))  # leaves statistics that must not count
    batches = [images_for(skeleton, batch, seed=batch) for batch in (3, 5)]
    seen: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def watch(name):
        def note(module, inputs, output):
            x = inputs[0]
            seen.setdefault(name, []).append((x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=True)))

        return note

    watched = copy.deepcopy(child).train()
    for name, module in watched.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(watch(name))
    with torch.no_grad():
        for images in batches:
            watched(images)
    recalibrate(child, batches)
    assert not child.training
    norms = {n: m for n, m in child.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert set(norms) == set(seen)
    for name, norm in norms.items():
        means, variances = zip(*seen[name], strict=True)
        torch.testing.assert_close(norm.running_mean, sum(means) / 2, **TIGHT)
        torch.testing.assert_close(norm.running_var, sum(variances) / 2, **TIGHT)
        assert norm.momentum == 0.1


@settings(deadline=None, max_examples=10)
@given(searches())
def test_recalibrated_children_agree_in_evaluation_with_and_without_their_dead_parts(search):
    candidates, genotype = search
    skeleton, supernet = candidates.skeleton, supernet_of(candidates)
    outputs = []
    for keep_dead in (True, False):
        child = child_of(supernet, genotype, keep_dead)
        recalibrate(child, [images_for(skeleton, 4, seed=seed) for seed in (2, 3)])
        with torch.no_grad():
            outputs.append(child(images_for(skeleton, 2, seed=4)))
    torch.testing.assert_close(*outputs, **TIGHT)


def test_inheriting_copies_so_training_the_child_leaves_the_supernet_alone():
    config = SearchConfig(cells=3, channels=2, nodes=1, ops=WITHOUT_NONE)
    candidates = candidates_of(config, image_size=5, image_channels=1, classes=2)
    supernet = supernet_of(candidates)
    before = copy.deepcopy(supernet.state_dict())
    cell = Cell(1, (Edge("nor_conv_3x3", 0, 2), Edge("nor_conv_3x3", 1, 2)), (2,))
    child = child_of(supernet, Genotype(cell, cell))
    with torch.no_grad():
        for parameter in child.parameters():
            parameter.fill_(7.0)
    assert all(torch.equal(before[name], value) for name, value in supernet.state_dict().items())


def test_drop_path_takes_an_edge_from_an_image_or_scales_it_and_spares_identities():
    cell = Cell(1, (Edge("skip_connect", 0, 2), Edge("nor_conv_1x1", 1, 2)), (2,))
    skeleton = Skeleton(3, 2, "cifar", 5, 1, 2)
    child = ChildNetwork(Genotype(cell, cell), skeleton, affine=False).double()
    normal = child.cells[0]
    inputs = (torch.randn(64, 6, 5, 5, dtype=torch.float64),) * 2
    with torch.no_grad():
        kept = normal.preprocess["0"](inputs[0])
        message = normal.edges[1](normal.preprocess["1"](inputs[1]))
        torch.manual_seed(0)
        dropped = normal(inputs, 0.25)
        lost = (dropped - kept).abs().amax((1, 2, 3)) < 1e-12
        assert 4 < lost.sum() < 28
        torch.testing.assert_close(dropped[~lost], (kept + message / 0.75)[~lost], **TIGHT)
        torch.testing.assert_close(normal(inputs), kept + message, **TIGHT)
        child.eval()
        assert torch.equal(normal(inputs, 0.25), normal(inputs))


def test_what_a_child_cannot_inherit_is_refused():
    config = SearchConfig(cells=3, channels=2, nodes=1, ops=WITHOUT_NONE)
    candidates = candidates_of(config, image_size=5, image_channels=1, classes=2)
    skeleton, supernet = candidates.skeleton, supernet_of(candidates)
    cell = Cell(1, (Edge("max_pool_3x3", 0, 2),), (2,))
    other = Skeleton(3, 4, "cifar", 5, 1, 2)
    with pytest.raises(
        ValueError, match=r"^supernet must have the skeleton Skeleton\(.*, got Skeleton\("
    ):
        ChildNetwork(Genotype(cell, cell), other, affine=False).inherit(supernet)
    with pytest.raises(
        ValueError, match=r"^op must be one of skip_connect, .*, got 'max_pool_3x3'"
    ):
        ChildNetwork(Genotype(cell, cell), skeleton, affine=False).inherit(supernet)
    larger = Cell(2, (Edge("skip_connect", 1, 3),), (2, 3))
    for keep_dead in (True, False):
        child = ChildNetwork(Genotype(larger, larger), skeleton, affine=False, keep_dead=keep_dead)
        with pytest.raises(ValueError, match=r"^genotype must have at most 1 .* nodes, got 2$"):
            child.inherit(supernet)


def test_an_unknown_op_is_refused_when_built():
    cell = Cell(1, (Edge("warp", 0, 2),), (2,))
    with pytest.raises(ValueError, match=r"^op must be one of none, .*, got 'warp'"):
        ChildNetwork(Genotype(cell, cell), Skeleton(3, 2, "cifar", 5, 1, 2), affine=False)
