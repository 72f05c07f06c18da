"""The parts of a drawn cell: rectangles, labels and curves, in pixels from the upper left corner.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snas_tune.space.cell.genotype import Edge

Point = tuple[float, float]

Piece = tuple[Point, Point, Point, Point]
"""A cubic Bezier curve: start, two control points, end."""


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle; ``x`` and ``y`` are its left and upper side."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The lower side."""
        return self.y + self.height

    @property
    def centre(self) -> Point:
        """The middle."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Label:
    """One line of text, centred at ``(x, y)``."""

    text: str
    x: float
    y: float
    size: float
    formula: bool = False
    """Whether it is a symbol with a subscript, as ``c_{k-1}``; else each sign is itself."""


@dataclass(frozen=True, slots=True)
class Pill:
    """The op of one edge."""

    box: Box
    edge: Edge
    label: Label
    family: str
    """A key of :data:`snas_tune.pictures.style.FAMILY_COLOURS`."""

    dead: bool


@dataclass(frozen=True, slots=True)
class Block:
    """A node, an input or the output, with the pills of its in-edges."""

    node: int
    """The output's is one more than the last node's."""

    box: Box
    labels: tuple[Label, ...]
    """Its name, and below or beside it ``dead`` or ``concat``."""

    pills: tuple[Pill, ...]
    dead: bool


@dataclass(frozen=True, slots=True)
class Connector:
    """A line of cubic Bezier pieces from a block to a pill, or to the output for the concat."""

    source: int
    target: int
    points: tuple[Point, ...]
    """The start, then two control points and an end for each piece."""

    dead: bool


@dataclass(frozen=True, slots=True)
class CellLayout:
    """A cell's picture: draw connectors, then blocks, pills and labels. The origin is top left."""

    width: float
    height: float
    blocks: tuple[Block, ...]
    connectors: tuple[Connector, ...]
    """Dead ones first, then source by source."""

    notes: tuple[Label, ...]


def strokes(connectors: Iterable[Connector]) -> list[tuple[bool, list[Piece]]]:
    """What to draw for each source, in order: whether it is dead, and its Bezier pieces.

    Connectors of one source share pieces. Each is drawn once, or it would look bolder than others.
    """
    groups: dict[tuple[bool, int], dict[Piece, None]] = {}
    for line in connectors:
        pieces = groups.setdefault((line.dead, line.source), {})
        for i in range(0, len(line.points) - 1, 3):
            start, one, other, end = line.points[i : i + 4]
            pieces[start, one, other, end] = None
    return [(dead, list(pieces)) for (dead, _), pieces in groups.items()]
