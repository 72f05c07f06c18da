from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cells as any_cells
from strategies import search_space_genotypes

from snas_tune.config import DARTS_OPS
from snas_tune.space.cell.genotype import INPUTS, Cell, Edge, Genotype
from snas_tune.space.cell.plan import EARLY_STEM, STEM, Source, plan_network, reduction_cells

CLASSIFIER = ("classifier",)
Node = tuple[object, ...]

genotypes = st.one_of(
    st.integers(1, 3).flatmap(lambda nodes: search_space_genotypes(nodes, DARTS_OPS[:4])),
    st.integers(1, 4).flatmap(
        lambda nodes: st.builds(Genotype, any_cells(nodes), any_cells(nodes))
    ),
)


def whole_graph(genotype: Genotype, cells: int, stem: str) -> list[tuple[Node, Node]]:
    """The arcs of the network, cell boundaries included: stem, nodes, outputs, classifier.

    Node ``(i, n)`` is node ``n`` of cell ``i`` and ``(i,)`` is that cell's output. An edge of a
    cell stands as a node of its own, ``(i, "edge", e)``, so that parallel edges stay apart; so
    does the arc from a node into the concat.
    """
    early = EARLY_STEM if stem == "imagenet" else STEM
    arcs: list[tuple[Node, Node]] = []
    for i in range(cells):
        cell = genotype.reduction if i in (cells // 3, 2 * cells // 3) else genotype.normal
        before = i - 2 if i >= 2 else (early if i == 0 else STEM)
        arcs += [((before,), (i, 0)), ((i - 1 if i else STEM,), (i, 1))]
        for e, edge in enumerate(cell.edges):
            arcs += [((i, edge.source), (i, "edge", e)), ((i, "edge", e), (i, edge.target))]
        arcs += [((i, node), (i, "concat", node)) for node in cell.concat]
        arcs += [((i, "concat", node), (i,)) for node in cell.concat]
    return [*arcs, ((cells - 1,), CLASSIFIER)]


def reach(arcs: list[tuple[Node, Node]], starts: set[Node]) -> set[Node]:
    """Everything that a path from ``starts`` leads to."""
    found, size = set(starts), -1
    while size != len(found):
        size = len(found)
        found |= {target for source, target in arcs if source in found}
    return found


def on_a_path(genotype: Genotype, cells: int, stem: str) -> set[Node]:
    """What the images reach and what reaches the classifier."""
    arcs = whole_graph(genotype, cells, stem)
    forward = reach(arcs, {(STEM,), (EARLY_STEM,)})
    return forward & reach([(target, source) for source, target in arcs], {CLASSIFIER})


@settings(deadline=None, max_examples=150)
@given(genotypes, st.integers(3, 8), st.sampled_from(["cifar", "imagenet"]))
def test_the_plan_keeps_exactly_what_lies_between_the_images_and_the_classifier(
    genotype, cells, stem
):
    plan = plan_network(genotype, cells=cells, channels=4, stem=stem)
    needed = on_a_path(genotype, cells, stem)
    for i, found in enumerate(plan.cells):
        whole = genotype.reduction if i in reduction_cells(cells) else genotype.normal
        kept = [edge for e, edge in enumerate(whole.edges) if (i, "edge", e) in needed]
        assert list(found.cell.edges) == kept
        assert found.cell.concat == tuple(n for n in whole.concat if (i, "concat", n) in needed)
        for slot in range(INPUTS):
            source = found.sources[slot]
            assert (source is not None) == ((i, slot) in needed)
            if source is not None and source.cell >= 0:
                assert source.nodes == plan.cells[source.cell].cell.concat
                assert source.nodes
    assert plan.features.nodes == plan.cells[-1].cell.concat
    assert bool(plan.features.nodes) == ((cells - 1,) in needed)
    for output in (STEM, EARLY_STEM):
        assert plan.reads(output) == ((output,) in needed)


@settings(deadline=None)
@given(genotypes, st.integers(3, 8), st.sampled_from(["cifar", "imagenet"]))
def test_with_dead_parts_the_plan_names_all_that_the_genotype_does(genotype, cells, stem):
    plan = plan_network(genotype, cells=cells, channels=4, stem=stem, keep_dead=True)
    for i, found in enumerate(plan.cells):
        assert found.cell == (
            genotype.reduction if i in reduction_cells(cells) else genotype.normal
        )
        early = EARLY_STEM if stem == "imagenet" else STEM
        first, second = found.sources
        assert first is not None
        assert second is not None
        assert first.cell == (i - 2 if i >= 2 else (early if i == 0 else STEM))
        assert second.cell == (i - 1 if i else STEM)
    assert plan.features == Source(cells - 1, plan.cells[-1].cell.concat, plan.cells[-1].channels)


@settings(deadline=None)
@given(
    genotypes,
    st.integers(3, 8),
    st.integers(2, 5),
    st.sampled_from(["cifar", "imagenet"]),
    st.booleans(),
)
def test_widths_and_sides_follow_the_reductions_before(genotype, cells, channels, stem, keep_dead):
    """Every output has a scale, how often its side was halved; readers must meet at one scale."""
    plan = plan_network(genotype, cells=cells, channels=channels, stem=stem, keep_dead=keep_dead)
    scale, width = {STEM: 0, EARLY_STEM: -1}, {EARLY_STEM: channels}
    width[STEM] = 3 * channels if stem == "cifar" else channels
    for i, found in enumerate(plan.cells):
        before = scale[i - 1] if i else 0
        assert found.reduction == (i in reduction_cells(cells))
        assert found.halvings == before
        scale[i] = before + found.reduction
        width[i] = found.channels
        assert found.channels == channels * 2 ** scale[i]
        assert [found.stride(node) for node in range(4)] == [1 + found.reduction] * 2 + [1, 1]
        for source in filter(None, found.sources):
            assert source.halve == (scale[source.cell] == before - 1)
            assert scale[source.cell] in (before, before - 1)
            assert source.width == width[source.cell]
            assert source.channels == source.width * len(source.nodes)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [(3, {1, 2}), (4, {1, 2}), (5, {1, 3}), (6, {2, 4}), (8, {2, 5}), (14, {4, 9}), (20, {6, 13})],
)
def test_reduction_cells_stand_at_one_and_two_thirds(cells, expected):
    assert reduction_cells(cells) == expected


def test_a_cell_that_is_skipped_on_every_path_is_empty():
    """Each cell reads only the output of the cell before the last: every other one is dead."""
    cell = Cell(1, (Edge("skip_connect", 0, 2),), (2,))
    plan = plan_network(Genotype(cell, cell), cells=6, channels=2, stem="cifar")
    assert [bool(found.cell.edges) for found in plan.cells] == [False, True] * 3
    assert [found.sources for found in plan.cells[::2]] == [(None, None)] * 3


def test_an_early_stem_that_no_one_reads_is_not_read():
    cell = Cell(1, (Edge("skip_connect", 1, 2),), (2,))
    plan = plan_network(Genotype(cell, cell), cells=3, channels=2, stem="imagenet")
    assert plan.reads(STEM)
    assert not plan.reads(EARLY_STEM)
