"""How the cells of one picture share it: headings, and side by side or one below the other.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snas_tune.pictures.shapes import CellLayout, Label
from snas_tune.pictures.style import HEADING_TEXT, NODE_TEXT, text_width
from snas_tune.space.cell.drawing.layout import layout, node_name
from snas_tune.space.cell.genotype import INPUTS, Cell, Genotype

SCREEN = (1280.0, 800.0)
"""Width and height that a picture of two cells should fit."""

TITLE_LINE = 36.0
HEADING_LINE = 28.0
GUTTER = 24.0
"""Between two cells side by side."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One cell's layout, moved to ``(x, y)``."""

    x: float
    y: float
    layout: CellLayout


@dataclass(frozen=True, slots=True)
class Sheet:
    """A whole picture."""

    width: float
    height: float
    headings: tuple[Label, ...]
    panels: tuple[Panel, ...]


def cell_sheet(cell: Cell, title: str = "", inputs: tuple[bool, bool] = (True, True)) -> Sheet:
    """One cell below its title."""
    return _titled(title, [("", layout(cell, inputs))], beside=True)


def genotype_sheet(genotype: Genotype, title: str = "") -> Sheet:
    """Both cells with headings: side by side, unless one below the other fits a screen better."""
    parts = [
        ("normal cell", layout(genotype.normal)),
        ("reduction cell", layout(genotype.reduction)),
    ]
    return max((_titled(title, parts, beside) for beside in (True, False)), key=_scale)


def cell_words(cell: Cell, inputs: tuple[bool, bool] = (True, True)) -> str:
    """The edges in words, for readers who cannot see the picture."""
    output = INPUTS + cell.nodes
    live = cell.live(inputs)
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


def genotype_words(genotype: Genotype) -> str:
    """Both cells in words."""
    return (
        f"Normal cell: {cell_words(genotype.normal)} "
        f"Reduction cell: {cell_words(genotype.reduction)}"
    )


def _titled(title: str, parts: Sequence[tuple[str, CellLayout]], beside: bool) -> Sheet:
    top = TITLE_LINE if title else 0.0
    least = text_width(title, HEADING_TEXT) + 32.0 if title else 0.0
    widths = [part.width for _, part in parts]
    inner = sum(widths) + GUTTER * (len(parts) - 1) if beside else max(widths)
    width = max(least, inner)
    x, y = (width - inner) / 2, top
    headings = [Label(title, width / 2, top / 2 + 4, HEADING_TEXT)] if title else []
    panels = []
    for heading, part in parts:
        line = HEADING_LINE if heading else 0.0
        left = x if beside else (width - part.width) / 2
        if heading:
            headings.append(Label(heading, left + part.width / 2, y + line / 2 + 2, NODE_TEXT))
        panels.append(Panel(left, y + line, part))
        if beside:
            x += part.width + GUTTER
        else:
            y += line + part.height
    bottom = max(panel.y + panel.layout.height for panel in panels)
    return Sheet(width, bottom, tuple(headings), tuple(panels))


def _scale(sheet: Sheet) -> float:
    """How much a sheet must shrink to fit a screen; 1 where it fits."""
    return min(1.0, SCREEN[0] / sheet.width, SCREEN[1] / sheet.height)
