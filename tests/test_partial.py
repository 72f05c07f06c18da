"""Partial channels: cells against PC-DARTS edge by edge, and what follows for child and cost."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from cell_networks import candidates_of, gumbel_softmax, one_hot_of, spread_logits, supernet_of
from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import divisors

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.search.checkpoint import load_search, save_search
from snas_tune.search.search import Search
from snas_tune.space.cell.candidates import Candidates
from snas_tune.space.cell.child import ChildCell, ChildNetwork
from snas_tune.space.cell.cost import cell_cost, genotype_cost
from snas_tune.space.cell.fused.cell import FusedCell
from snas_tune.space.cell.genotype import Cell, Edge, Genotype, cell_edges
from snas_tune.space.cell.partial import Bypass
from snas_tune.space.cell.skeleton import Skeleton, halved
from snas_tune.space.cell.supernet import SearchCell
from snas_tune.space.cost import COUNTED
from snas_tune.training.runtime import CompiledOrEager
from snas_tune.training.seeds import generator_for

TIGHT = {"rtol": 1e-9, "atol": 1e-9}
EMPTY = Genotype(Cell(1, (), (2,)), Cell(1, (), (2,)))


def edge_of_pc_darts(x, mixed, keep, partial, stride):
    """One edge as the paper has it: mix, pool, concatenate, shuffle."""
    batch, channels = x.shape[:2]
    read = channels // partial
    message = mixed(x[:, :read]) * keep.view(-1, 1, 1, 1)
    rest = x[:, read:]
    if stride == 2:
        rest = F.pad(rest, (0, rest.shape[3] % 2, 0, rest.shape[2] % 2), value=-math.inf)
        rest = rest.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).amax((3, 5))
    whole = torch.cat([message, rest], dim=1)
    side = whole.shape[-2:]
    return whole.view(batch, partial, read, *side).transpose(1, 2).reshape(batch, channels, *side)


def cell_of_pc_darts(cell: SearchCell, partial, reduction, inputs, sample, keep):
    """Every node is the sum of its edges, each of them whole."""
    nodes = [cell.preprocess[0](inputs[0]), cell.preprocess[1](inputs[1])]
    pairs = cell_edges(cell.nodes)
    for target in range(2, 2 + cell.nodes):
        total = 0.0
        for e, (source, end) in enumerate(pairs):
            if end == target:
                stride = 2 if reduction and source < 2 else 1
                total = total + edge_of_pc_darts(
                    nodes[source],
                    lambda x, e=e: cell.edges[e](x, sample[e], None),
                    keep[e],
                    partial,
                    stride,
                )
        nodes.append(total)
    return torch.cat(nodes[2:], dim=1)


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([2, 3, 4, 6, 8]).flatmap(lambda c: st.tuples(st.just(c), divisors(c))),
    st.integers(1, 4),
    st.integers(4, 9),
    st.booleans(),
    st.integers(0, 1000),
)
def test_a_cell_is_that_of_pc_darts_edge_by_edge(width, nodes, side, reduction, seed):
    channels, partial = width
    torch.manual_seed(seed)
    skeleton = Skeleton(4, channels, "cifar", side, 1, 3, partial)
    ops = ("none", "skip_connect", "max_pool_3x3", "nor_conv_3x3", "dil_conv_3x3")
    plan = Candidates(skeleton, nodes, ops).plans[1 if reduction else 0]
    cell = SearchCell(skeleton, plan, ops).double()
    inputs = [
        torch.randn(3, source.channels, side, side, dtype=torch.float64, requires_grad=True)
        for source in plan.sources
    ]
    edges = len(cell_edges(nodes))
    sample = torch.rand(edges, len(ops), dtype=torch.float64, requires_grad=True)
    keep = (torch.rand(edges, 3) > 0.3).double() / 0.7
    found = cell(inputs, sample, keep)
    expected = cell_of_pc_darts(cell, partial, reduction, inputs, sample, keep)
    torch.testing.assert_close(found, expected, **TIGHT)
    towards = torch.randn_like(found)
    leaves = [*inputs, sample, *cell.parameters()]
    for ours, theirs in zip(
        *(torch.autograd.grad((out * towards).sum(), leaves) for out in (found, expected)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, **TIGHT)


@pytest.mark.parametrize("partial", [1, 2, 3, 6])
def test_channel_i_of_group_k_comes_to_place_i_times_the_groups_plus_k(partial):
    x = torch.randn(2, 6, 3, 3)
    bypass = Bypass(partial)
    joined = bypass.join(bypass.split(x))
    size = 6 // partial
    for k in range(partial):
        for i in range(size):
            assert torch.equal(joined[:, i * partial + k], x[:, k * size + i])


@pytest.mark.parametrize("side", range(1, 9))
def test_what_passes_by_a_strided_edge_has_the_side_of_the_strided_ops(side):
    x = torch.randn(2, 4, side, side)
    bypass = Bypass(4)
    assert bypass.split(x, 2).shape == (2, 1, side, side)
    pooled = halved(side)
    assert bypass.passed.shape == (2, 3, pooled, pooled)
    for row in range(pooled):
        for column in range(pooled):
            window = x[:, 1:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(bypass.passed[:, :, row, column], window.amax((2, 3)))


def test_channels_last_stays_and_what_the_ops_read_is_dense():
    x = torch.randn(2, 8, 5, 5).to(memory_format=torch.channels_last)
    bypass = Bypass(4)
    read = bypass.split(x)
    for tensor in (read, bypass.join(read)):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


@settings(deadline=None, max_examples=10)
@given(st.sampled_from([2, 4]), st.integers(1, 3), st.sampled_from(["cifar", "imagenet"]))
def test_the_ops_of_a_partial_frame_cost_what_they_do_in_a_narrower_one(partial, nodes, stem):
    def cost(name, channels, partial):
        skeleton = Skeleton(4, channels, stem, 37, 3, 5, partial)
        return cell_cost(name, Candidates(skeleton, nodes, DARTS_OPS))

    for name in COUNTED:
        wide, narrow = cost(name, 8, partial), cost(name, 8 // partial, 1)
        assert torch.equal(wide.per_cell, narrow.per_cell)
        assert wide.fixed == cost(name, 8, 1).fixed


def small(partial, cells=SearchCell, **changes):
    """A supernet in float64, its candidates and some images."""
    config = SearchConfig(cells=3, channels=4, nodes=1, partial_channels=partial, **changes)
    candidates = candidates_of(config, image_size=7, image_channels=1, classes=3)
    net = supernet_of(candidates, cells)
    return net, candidates, torch.randn(5, 1, 7, 7, dtype=torch.float64)


def test_a_network_without_edges_still_answers_by_its_image():
    net, candidates, images = small(2)
    skeleton = candidates.skeleton
    with torch.no_grad():
        expected = net(images, one_hot_of(EMPTY, candidates))
        for keep_dead in (True, False):
            child = ChildNetwork(EMPTY, skeleton, affine=False, keep_dead=keep_dead).double()
            child.inherit(net)
            torch.testing.assert_close(child(images), expected, **TIGHT)
    assert expected.std(0).min() > 1e-3
    for name in COUNTED:
        fixed = cell_cost(name, candidates).fixed
        assert genotype_cost(name, EMPTY, skeleton) == fixed > 0
    assert skeleton.live(EMPTY) == EMPTY


@pytest.mark.parametrize("cells", [SearchCell, FusedCell])
def test_drop_path_of_every_edge_leaves_what_passes_by(cells):
    net, candidates, images = small(2, cells)
    sample = gumbel_softmax(spread_logits(candidates), 0.7, generator_for(0, "sample", 0))
    with torch.no_grad():
        dropped = net(images, sample, torch.zeros(3, 2, 5, dtype=torch.float64))
        expected = net(images, one_hot_of(EMPTY, candidates))
    torch.testing.assert_close(dropped, expected, **TIGHT)


def test_drop_path_of_a_childs_edge_leaves_what_passes_by():
    convolutions = Cell(1, (Edge("nor_conv_3x3", 0, 2), Edge("nor_conv_1x1", 1, 2)), (2,))
    skeleton = Skeleton(3, 4, "cifar", 5, 1, 2, 2)
    cells = []
    for cell in (convolutions, EMPTY.normal):
        torch.manual_seed(0)
        plan = skeleton.plan(Genotype(cell, cell)).cells[0]
        cells.append(ChildCell(skeleton, plan, affine=False).double())
    cells[1].preprocess.load_state_dict(cells[0].preprocess.state_dict())
    inputs = (torch.randn(3, 12, 5, 5, dtype=torch.float64),) * 2
    with torch.no_grad():
        torch.testing.assert_close(cells[0](inputs, 1 - 1e-12), cells[1](inputs), **TIGHT)
        assert not torch.equal(cells[0](inputs), cells[1](inputs))


@pytest.mark.parametrize("names", [("plain", "plain"), ("fused", "fused"), ("plain", "fused")])
def test_a_partial_search_trains_reports_and_goes_on_from_its_checkpoint(tmp_path, names):
    search = Search(SearchConfig(**TINY, partial_channels=2, supernet=names[0], drop_path=0.2))
    before = search.run_epoch()
    assert before["cross_entropy"] > 0
    assert before["architecture"] == search.derive().to_json()
    assert 0 <= before["child_accuracy"] <= 1
    sample = one_hot_of(search.derive(), search.space.candidates)
    assert before["flops"] == search.flops.of_sample(sample).item()
    assert before["params"] == before["params_with_dead"]
    save_search(search, tmp_path)
    restored = load_search(tmp_path, supernet=names[1])
    reports = [each.run_epoch() for each in (search, restored)]
    assert reports[0]["cross_entropy"] < before["cross_entropy"]
    exact = names[0] == names[1]  # else by rounding
    assert reports[1]["cross_entropy"] == pytest.approx(
        reports[0]["cross_entropy"], rel=0 if exact else 1e-2
    )
    if exact:
        theirs = dict(restored.supernet.named_tensors())
        assert all(torch.equal(theirs[n], t) for n, t in search.supernet.named_tensors())


def test_a_search_that_chooses_none_reports_cells_that_still_count():
    search = Search(SearchConfig(**TINY, partial_channels=2))
    with torch.no_grad():
        search.method.logits[..., search.config.ops.index("none")] = 9.0
    report = search.evaluate()
    assert Genotype.from_json(report["architecture"]) == EMPTY
    assert report["edges"] == 0
    assert report["flops"] == search.flops.fixed > 0
    assert report["child_accuracy"] == search.child_accuracy(search.child(EMPTY))


def test_a_partial_supernet_compiles():
    net, candidates, images = small(2)
    compiled = CompiledOrEager(net, backend="eager")
    sample = gumbel_softmax(spread_logits(candidates), 0.7, generator_for(0, "sample", 0)).detach()
    torch.testing.assert_close(compiled(images, sample), net(images, sample), **TIGHT)
    assert compiled._call is not net
