from __future__ import annotations

import itertools

import pytest
import torch
from cell_networks import genotype_of_logits, one_hot_of
from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import divisors

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.search.search import Search
from snas_tune.space.cell.candidates import Candidates
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.space.cell.cost import cell_cost, genotype_cost, layer_cost
from snas_tune.space.cell.genotype import INPUTS, NONE, Cell, Edge, Genotype, cell_edges
from snas_tune.space.cell.layers import LayerSpec
from snas_tune.space.cell.ops import OPS, build_op
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cost import COUNTED, module_cost


def separable(kernel, c, side, stride):
    return kernel * kernel * c + c * c, ((side + stride - 1) // stride) ** 2


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize(("channels", "kernel"), [(4, 3), (6, 5)])
def test_convolutions_cost_what_the_formula_says(channels, kernel, side, stride):
    weights, pixels = separable(kernel, channels, side, stride)

    def part(name):
        return layer_cost(LayerSpec("op", name, channels, channels, side, stride))

    dilated, twice = part(f"dil_conv_{kernel}x{kernel}"), part(f"sep_conv_{kernel}x{kernel}")
    assert (dilated["params"], dilated["flops"]) == (weights, weights * pixels)
    assert (twice["params"], twice["flops"]) == (2 * weights, 2 * weights * pixels)
    skip = part("skip_connect")
    halving = channels * channels if stride == 2 else 0
    assert (skip["params"], skip["flops"]) == (halving, halving * pixels)


def test_memory_counts_what_the_layers_read_and_write():
    c, side = 4, 8
    map_ = c * side * side
    skip = layer_cost(LayerSpec("op", "skip_connect", c, c, side, 1))
    assert skip["memory"] == 2 * map_  # SNAS: 2 C H^2
    dilated = layer_cost(LayerSpec("op", "dil_conv_3x3", c, c, side, 1))
    assert dilated["memory"] == 4 * 2 * map_ + 9 * c + c * c  # ReLU, two convolutions, batch norm
    assert layer_cost(LayerSpec("op", NONE, c, c, side, 1)) == dict.fromkeys(COUNTED, 0)


@pytest.mark.parametrize("name", sorted(OPS))
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("side", "stride"), [(8, 1), (8, 2), (7, 2), (1, 1)])
def test_every_op_keeps_the_channels_and_divides_the_side(name, affine, side, stride):
    op = build_op(name, 4, stride, affine=affine).eval()
    out = op(torch.randn(2, 4, side, side))
    assert out.shape == (2, 4, (side + stride - 1) // stride, (side + stride - 1) // stride)
    if name == NONE:
        assert not out.any()


def test_an_unknown_op_is_refused():
    with pytest.raises(ValueError, match=r"op must be one of none, max_pool_3x3, .*, got 'conv_9'"):
        build_op("conv_9", 4, 1, affine=True)


@st.composite
def spaces(draw):
    nodes = draw(st.integers(1, 3))
    others = draw(st.lists(st.sampled_from(DARTS_OPS[1:]), min_size=1, max_size=4, unique=True))
    ops = (NONE, *others)
    edges = len(cell_edges(nodes))
    choices = draw(st.lists(st.integers(0, len(ops) - 1), min_size=2 * edges, max_size=2 * edges))
    logits = torch.nn.functional.one_hot(torch.tensor(choices), len(ops)).double()
    stem, size = draw(st.sampled_from([("cifar", 8), ("cifar", 7), ("imagenet", 40)]))
    channels = draw(st.integers(2, 5))
    partial = draw(st.one_of(st.just(1), divisors(channels)))
    skeleton = Skeleton(draw(st.integers(3, 9)), channels, stem, size, 3, 5, partial)
    return Candidates(skeleton, nodes, ops), logits


@settings(deadline=None, max_examples=25)
@given(spaces())
def test_a_one_hot_sample_the_genotype_and_the_built_child_cost_the_same(space):
    candidates, logits = space
    skeleton, genotype = candidates.skeleton, genotype_of_logits(logits, candidates)
    sample = one_hot_of(genotype, candidates)
    assert torch.equal(sample, logits)
    image = torch.zeros(1, 3, skeleton.image_size, skeleton.image_size)
    whole = module_cost(ChildNetwork(genotype, skeleton, affine=False, keep_dead=True), image)
    live = module_cost(ChildNetwork(genotype, skeleton, affine=False), image)
    for name in COUNTED:
        cost = cell_cost(name, candidates).of_sample(sample).item()
        assert cost == genotype_cost(name, genotype, skeleton, keep_dead=True) == whole[name]
        assert genotype_cost(name, genotype, skeleton) == live[name] <= whole[name]
        assert genotype_cost(name, skeleton.live(genotype), skeleton) == live[name]


@settings(deadline=None, max_examples=300)
@given(spaces())
def test_live_parts_have_the_plan_of_the_whole_and_no_dead_part(space):
    candidates, logits = space
    skeleton, genotype = candidates.skeleton, genotype_of_logits(logits, candidates)
    kept = skeleton.live(genotype)
    assert skeleton.plan(kept) == skeleton.plan(genotype)
    assert skeleton.live(kept) == kept
    if skeleton.partial == 1:
        used = {edge for plan in skeleton.plan(kept).cells for edge in plan.cell.edges}
        assert {*kept.normal.edges, *kept.reduction.edges} == used


def test_networks_that_an_empty_cell_cuts_are_one_architecture():
    edge = Edge("skip_connect", 0, 2)
    full, empty = Cell(1, (edge,), (2,)), Cell(1, (), ())
    three, eight = (Skeleton(cells, 2, "cifar", 8, 1, 2) for cells in (3, 8))
    for genotype in (Genotype(full, empty), Genotype(empty, empty)):
        assert three.live(genotype) == Genotype(empty, empty)
    # Of eight cells the fourth and the seventh read past the empty reduction cells.
    past = Genotype(Cell(1, (Edge("skip_connect", 0, 2), Edge("skip_connect", 1, 2)), (2,)), empty)
    assert eight.live(past) == past


def test_the_expected_cost_is_the_mean_over_all_architectures():
    ops = (NONE, "skip_connect", "dil_conv_3x3")
    candidates = Candidates(Skeleton(3, 2, "cifar", 4, 1, 2), 1, ops)
    logits = torch.randn(4, 3, dtype=torch.float64)
    p = logits.softmax(-1)
    expected = 0.0
    for choice in itertools.product(range(3), repeat=4):
        probability = p.gather(-1, torch.tensor(choice).unsqueeze(-1)).prod().item()
        genotype = candidates.genotype(choice)
        cost = genotype_cost("flops", genotype, candidates.skeleton, keep_dead=True)
        expected += probability * cost
    found = cell_cost("flops", candidates).expected(logits).item()
    assert found == pytest.approx(expected)


def test_the_table_is_linear_in_the_sample():
    table = cell_cost("memory", Candidates(Skeleton(5, 4, "cifar", 8, 3, 4), 2, DARTS_OPS))
    a, b = torch.rand(2, 2 * 5, 8, dtype=torch.float64)
    mixed = table.of_sample(0.3 * a + 0.7 * b)
    assert mixed.item() == pytest.approx(
        (0.3 * table.of_sample(a) + 0.7 * table.of_sample(b)).item()
    )


def test_deriving_takes_the_largest_logit_none_included_and_the_first_of_equals():
    ops = ("none", "skip_connect", "sep_conv_3x3")
    logits = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.1, 0.2], [2.0, 1.0, 0.0]])
    search = Search(SearchConfig(**TINY, ops=ops))
    search.method.logits.data.copy_(logits)
    genotype, candidates = search.derive(), search.space.candidates
    concat = (INPUTS,)
    assert genotype == Genotype(
        Cell(1, (Edge("skip_connect", 1, 2),), concat),
        Cell(1, (Edge("sep_conv_3x3", 0, 2),), concat),
    )
    assert genotype_of_logits(logits, candidates) == genotype
    back = one_hot_of(genotype, candidates)
    assert genotype_of_logits(back, candidates) == genotype
    assert back[0].tolist() == [1, 0, 0]


def test_a_genotype_of_another_space_has_no_sample():
    skeleton = Skeleton(3, 2, "cifar", 4, 1, 2)
    stranger = Cell(1, (Edge("sep_conv_7x7", 0, 2),), (2,))
    with pytest.raises(ValueError, match="edge must be one of the search space's, once, got Edge"):
        Candidates(skeleton, 1, DARTS_OPS).picks(Genotype(stranger, stranger))
    empty = Cell(1, (), (2,))
    with pytest.raises(ValueError, match="genotype must have every edge where none is not an op"):
        Candidates(skeleton, 1, DARTS_OPS[1:]).picks(Genotype(empty, empty))
