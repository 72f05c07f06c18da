"""Cells on a sheet, and in words.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping

from snas_tune.pictures.shapes import Sheet
from snas_tune.pictures.sheets import best_fit, both_ways
from snas_tune.space.cell.drawing.layout import layout, node_name
from snas_tune.space.cell.graph import INPUTS, Cell


def cells_sheet(cells: Mapping[str, Cell], title: str = "") -> Sheet:
    """Cells below their headings: side by side, unless one below the other fits a screen better."""
    return best_fit(both_ways(title, [(heading, layout(cell)) for heading, cell in cells.items()]))


def cell_words(cell: Cell) -> str:
    """The edges in words, for readers who cannot see the picture."""
    output = INPUTS + cell.nodes
    live = cell.live()
    sentences = []
    for node in range(INPUTS, output):
        edges = [
            f"{edge.op} of {node_name(edge.source, output)}"
            + ("" if edge in live.edges else " (dead)")
            for edge in cell.in_edges(node)
        ]
        if edges:
            sentences.append(f"node {node} sums {', '.join(edges)}")
    if not live.edges:
        sentences.append("the cell passes nothing on")
    elif cell.concat:
        sentences.append(f"the output c_{{k}} joins nodes {', '.join(map(str, cell.concat))}")
    return "; ".join(sentences) + "."
