"""Cells to draw, and what tests measure on drawings."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import strategies as st

from snas_tune.pictures.shapes import Box, Connector, Layout, Pill
from snas_tune.pictures.svg import architecture_svg
from snas_tune.space.cell.drawing.layout import node_name
from snas_tune.space.cell.genotype import INPUTS, Cell, Edge, Genotype, cell_edges

SVG = "{http://www.w3.org/2000/svg}"

SEARCHED = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_5x5")

PRINTED = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)

OPS = st.one_of(
    st.sampled_from(SEARCHED),
    st.sampled_from(["a<b>&\"'", "]]>", "<!--", "&amp;", "c_{k-2}", "\u6f22\u5b57", "x\x00\x1fy"]),
    PRINTED.filter(lambda op: op != "none"),
)


@st.composite
def cells(draw: st.DrawFn, ops: st.SearchStrategy[str] = OPS) -> Cell:
    nodes = draw(st.integers(0, 8))
    pairs = cell_edges(nodes)
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=30)) if pairs else []
    edges = tuple(Edge(draw(ops), source, target) for source, target in chosen)
    members = range(INPUTS, INPUTS + nodes)
    return Cell(nodes, edges, tuple(node for node in members if draw(st.booleans())))


def dense(nodes: int) -> Cell:
    edges = tuple(Edge(SEARCHED[(s + t) % 5], s, t) for s, t in cell_edges(nodes))
    return Cell(nodes, edges, tuple(range(INPUTS, INPUTS + nodes)))


def chain(nodes: int) -> Cell:
    edges = tuple(
        Edge("sep_conv_3x3", max(0, t - 1) if t > 2 else 0, t) for t in range(2, 2 + nodes)
    )
    return Cell(nodes, edges, tuple(range(INPUTS, INPUTS + nodes)))


def pills(drawn: Layout) -> list[Pill]:
    return [pill for block in drawn.blocks for pill in block.pills]


def edges(drawn: Layout, *, live: bool = False) -> list[Edge]:
    """The edges that the pills stand for, or only the live ones."""
    output = max(block.number for block in drawn.blocks)
    found = []
    for block in drawn.blocks:
        for pill in block.pills:
            assert pill.source is not None
            where = f" of {node_name(pill.source, output)} into node {block.number}"
            hint = pill.hint.removesuffix(" (dead)") if pill.dead else pill.hint
            assert hint.endswith(where)
            if not (live and pill.dead):
                found.append(Edge(hint.removesuffix(where), pill.source, block.number))
    return found


def cell_svg(cell: Cell, *, title: str = "", dark: bool = False) -> str:
    return architecture_svg(Genotype(cell, cell), title=title, part="normal", dark=dark)


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.right
        and other.x < one.right
        and one.y < other.bottom
        and other.y < one.bottom
    )


def within(inner: Box, outer: Box, slack: float = 1e-6) -> bool:
    return (
        inner.x >= outer.x - slack
        and inner.y >= outer.y - slack
        and inner.right <= outer.right + slack
        and inner.bottom <= outer.bottom + slack
    )


def curve(line: Connector, steps: int = 16) -> list[tuple[float, float]]:
    """Points on a connector, by Bernstein's polynomials."""
    found = []
    for i in range(0, len(line.points) - 1, 3):
        piece = line.points[i : i + 4]
        for step in range(steps + 1):
            t = step / steps
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            found.append(
                (
                    sum(w * p[0] for w, p in zip(weights, piece, strict=True)),
                    sum(w * p[1] for w, p in zip(weights, piece, strict=True)),
                )
            )
    return found


def sides(box: Box) -> list[tuple[float, float]]:
    x, y = box.centre
    return [(box.x, y), (box.right, y), (x, box.y), (x, box.bottom)]


def close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one == pytest.approx(other, abs=1e-6)


def texts(root: ElementTree.Element, name: str) -> list[str]:
    return ["".join(found.itertext()) for found in root.iter(f"{SVG}{name}")]
