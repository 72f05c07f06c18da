"""Hypothesis strategies: cells of any form, genotypes of a search space, architectures of any."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from snas_tune.architecture import Picks
from snas_tune.checks import TEXT
from snas_tune.space.cell.genotype import INPUTS, NONE, Cell, Edge, Genotype, cell_edges

SOME_OPS = ("skip_connect", "max_pool_3x3", "sep_conv_3x3")

op_names = st.one_of(st.sampled_from(SOME_OPS), st.text(max_size=4)).filter(lambda op: op != NONE)
"""Names of ops, real ones and any other text."""


@st.composite
def cells(draw: st.DrawFn, nodes: int | None = None) -> Cell:
    """Any cell: parallel edges, dead nodes, nodes outside the concat, no edges at all."""
    if nodes is None:
        nodes = draw(st.integers(0, 5))
    pairs = cell_edges(nodes)
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=2 * nodes + 2)) if pairs else []
    edges = tuple(Edge(draw(op_names), source, target) for source, target in chosen)
    concat = tuple(node for node in range(INPUTS, INPUTS + nodes) if draw(st.booleans()))
    return Cell(nodes, edges, concat)


@st.composite
def paired_cells(draw: st.DrawFn) -> Cell:
    """A cell with two in-edges for every node, as DARTS publishes them."""
    nodes = draw(st.integers(1, 5))
    edges = tuple(
        Edge(draw(op_names), draw(st.integers(0, target - 1)), target)
        for target in range(INPUTS, INPUTS + nodes)
        for _ in range(2)
    )
    concat = tuple(node for node in range(INPUTS, INPUTS + nodes) if draw(st.booleans()))
    return Cell(nodes, edges, concat)


any_genotypes = st.one_of(
    st.builds(Genotype, cells(), cells()), st.builds(Genotype, paired_cells(), paired_cells())
)


def search_space_genotypes(nodes: int, ops: Sequence[str]) -> st.SearchStrategy[Genotype]:
    """What :meth:`~snas_tune.space.cell.candidates.Candidates.genotype` derives: one op an edge.

    ``none`` is drawn for about half of the edges, so that cells with dead nodes, cells without
    edges and networks that are cut are common.
    """
    pairs = cell_edges(nodes)
    others = [op for op in ops if op != NONE]
    choice = st.sampled_from([*others, *[NONE] * len(others)] if NONE in ops else others)

    def cell(chosen: Sequence[str]) -> Cell:
        edges = tuple(
            Edge(op, source, target)
            for op, (source, target) in zip(chosen, pairs, strict=True)
            if op != NONE
        )
        return Cell(nodes, edges, tuple(range(INPUTS, INPUTS + nodes)))

    rows = st.lists(choice, min_size=len(pairs), max_size=len(pairs)).map(cell)
    return st.builds(Genotype, rows, rows)


def divisors(number: int) -> st.SearchStrategy[int]:
    """What ``partial_channels`` may be for that many channels."""
    return st.sampled_from([k for k in range(1, number + 1) if number % k == 0])


def picks() -> st.SearchStrategy[Picks]:
    """Architectures of spaces without a class of their own: any names and options."""
    names = st.one_of(st.sampled_from(["kernel", "width", "stage 1"]), st.text(max_size=6))
    options = st.one_of(st.sampled_from(["3", "16", "skip"]), st.text(max_size=6))
    spaces = st.text(min_size=1, max_size=5).filter(
        lambda space: space != "cell" and all(check.test(space) for check in TEXT)
    )
    return st.builds(Picks, spaces, st.dictionaries(names, options, max_size=20))
