"""The shapes of an architecture's picture, in pixels from the upper left corner.

A space draws its architectures with these; :mod:`~snas_tune.pictures.svg` and
:mod:`~snas_tune.pictures.figures` render any :class:`Sheet`.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    """One line of text, centred at ``(x, y)``, or beginning there."""

    text: str
    x: float
    y: float
    size: float
    formula: bool = False
    """Whether it is a symbol with a subscript, as ``c_{k-1}``; else each sign is itself."""

    left: bool = False
    """Whether ``x`` is where it begins."""


@dataclass(frozen=True, slots=True)
class Pill:
    """The option that a choice got."""

    box: Box
    label: Label
    hint: str
    """The text under a resting pointer."""

    colour: str
    """A key of :data:`snas_tune.pictures.style.PILL_COLOURS`."""

    dead: bool = False
    """Whether the choice has no effect."""

    source: int | None = None
    """The number of the block whose line arrives at it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A framed part of the network, with the pills of its choices."""

    number: int
    """Its own in a layout; connectors and pills name it by that."""

    box: Box
    labels: tuple[Label, ...]
    """Its name, and below or beside it more words."""

    pills: tuple[Pill, ...]
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Connector:
    """A line of cubic Bezier pieces from a block to another, or to a pill of it."""

    source: int
    target: int
    points: tuple[Point, ...]
    """The start, then two control points and an end for each piece."""

    dead: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """One picture: draw connectors, then blocks, pills and labels. The origin is top left."""

    width: float
    height: float
    blocks: tuple[Block, ...]
    connectors: tuple[Connector, ...]
    """Dead ones first, then source by source."""

    notes: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """A layout, moved to ``(x, y)``."""

    x: float
    y: float
    layout: Layout


@dataclass(frozen=True, slots=True)
class Sheet:
    """A whole picture: panels, and headings above them."""

    width: float
    height: float
    headings: tuple[Label, ...]
    panels: tuple[Panel, ...]


def strokes(connectors: Iterable[Connector]) -> list[tuple[bool, list[Piece]]]:
    """For each source, in order: whether it is dead, and the Bezier pieces to draw.

    Connectors of one source share pieces. Each is drawn once, or it would look bolder than others.
    """
    groups: dict[tuple[bool, int], dict[Piece, None]] = {}
    for line in connectors:
        pieces = groups.setdefault((line.dead, line.source), {})
        for i in range(0, len(line.points) - 1, 3):
            start, one, other, end = line.points[i : i + 4]
            pieces[start, one, other, end] = None
    return [(dead, list(pieces)) for (dead, _), pieces in groups.items()]
