"""Pictures as matplotlib figures, for files and TensorBoard images: architectures, the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from snas_tune.architecture import Architecture
from snas_tune.arguments import checked
from snas_tune.checks import TITLE, is_instance
from snas_tune.pictures.canvas import figure_to_array, new_figure, save
from snas_tune.pictures.front_chart import front_figure
from snas_tune.pictures.shapes import Block, Box, Label, Layout, Piece, strokes
from snas_tune.pictures.sheets import sheet_of
from snas_tune.pictures.style import LIGHT, LINE, PILL_COLOURS, PILL_INK, SEAM

__all__ = ["architecture_figure", "figure_to_array", "front_figure", "save"]

PIXELS_PER_INCH = 96.0
"""Of the layout, as in CSS."""


@checked
def architecture_figure(
    architecture: Annotated[Architecture, is_instance(Architecture)],
    title: Annotated[str, TITLE] = "",
) -> Figure:
    """An architecture, drawn as :func:`snas_tune.pictures.svg.architecture_svg` draws it."""
    sheet = sheet_of(architecture, title)
    figure = new_figure(sheet.width / PIXELS_PER_INCH, sheet.height / PIXELS_PER_INCH, tight=False)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.0, sheet.width)
    axes.set_ylim(sheet.height, 0.0)
    for heading in sheet.headings:
        _text(axes, heading, 0.0, 0.0, LIGHT.ink, bold=True)
    for panel in sheet.panels:
        _layout(axes, panel.layout, panel.x, panel.y)
    return figure


def _layout(axes: Axes, layout: Layout, x: float, y: float) -> None:
    for dead, pieces in strokes(layout.connectors):
        _curves(axes, pieces, x, y, LIGHT.paper, SEAM, "solid")
        colour = LIGHT.pale_line if dead else LIGHT.line
        _curves(axes, pieces, x, y, colour, LINE, "dashed" if dead else "solid")
    for block in layout.blocks:
        _block(axes, block, x, y)
    for note in layout.notes:
        _text(axes, note, x, y, LIGHT.pale_ink)


def _curves(
    axes: Axes,
    pieces: Sequence[Piece],
    x: float,
    y: float,
    colour: str,
    width: float,
    style: str,
) -> None:
    points = [(x + a, y + b) for piece in pieces for a, b in piece]
    codes = [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4] * len(pieces)
    axes.add_patch(
        PathPatch(
            Curve(points, codes),
            fill=False,
            edgecolor=colour,
            linewidth=_points(width),
            linestyle=style,
            capstyle="butt",
        )
    )


def _block(axes: Axes, block: Block, x: float, y: float) -> None:
    fill = LIGHT.paper if block.dead else LIGHT.card
    border = LIGHT.pale_line if block.dead else LIGHT.border
    _rectangle(axes, block.box, x, y, 8.0, fill, border, block.dead)
    for pill in block.pills:
        fill = LIGHT.paper if pill.dead else PILL_COLOURS[pill.colour]
        border = LIGHT.pale_line if pill.dead else fill
        _rectangle(axes, pill.box, x, y, pill.box.height / 2, fill, border, pill.dead)
        _text(axes, pill.label, x, y, LIGHT.pale_ink if pill.dead else PILL_INK)
    name, *words = block.labels
    _text(axes, name, x, y, LIGHT.pale_ink if block.dead else LIGHT.ink, bold=True)
    for word in words:
        _text(axes, word, x, y, LIGHT.pale_ink)


def _rectangle(
    axes: Axes, box: Box, x: float, y: float, radius: float, fill: str, border: str, dashed: bool
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x + box.x, y + box.y),
            box.width,
            box.height,
            boxstyle=f"round,pad=0,rounding_size={radius}",
            facecolor=fill,
            edgecolor=border,
            linewidth=_points(1.0),
            linestyle="dashed" if dashed else "solid",
        )
    )


def _text(axes: Axes, label: Label, x: float, y: float, colour: str, bold: bool = False) -> None:
    axes.text(
        x + label.x,
        y + label.y,
        f"${label.text}$" if label.formula else label.text,
        parse_math=label.formula,
        color=colour,
        fontsize=_points(label.size),
        fontweight="bold" if bold else "normal",
        ha="left" if label.left else "center",
        va="center_baseline",
    )


def _points(pixels: float) -> float:
    """Matplotlib's lengths are points, 72 to the inch."""
    return pixels * 72.0 / PIXELS_PER_INCH
