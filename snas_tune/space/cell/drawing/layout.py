"""Where the parts of a cell are drawn, in pixels: blocks, op pills and connectors.

Each node is a block that holds the ops of its in-edges as labelled pills, so labels cannot collide.
A connector starts at its source's block and ends at its pill. Blocks stand in columns by depth and
lines run in lanes between them (see ``columns``), so lines cross no text. A deep cell
runs from top to bottom, or its text would shrink with the width of a page.

Dead parts (``Cell.live`` removes them) are marked as such and not left out:
they cost parameters in a child network that keeps them, and show which edges the search lost. Only
a node without any edge, outside the concat, is left out, and named in a note.

Standard library only.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise

from snas_tune.pictures.shapes import Block, Box, Connector, Label, Layout, Pill, Point
from snas_tune.pictures.style import NAME_TEXT, PILL_TEXT, SMALL_TEXT, text_width
from snas_tune.space.cell.drawing.columns import Grid, Place, centres, grid
from snas_tune.space.cell.drawing.ops import FAMILY_COLOURS, op_family, op_label
from snas_tune.space.cell.graph import INPUTS, Cell, Edge

EMPTY_NOTE = "empty cell: passes nothing on"
"""What the picture of a cell without edges says."""

WIDEST = 3
"""Columns of blocks that run from left to right; a deeper cell runs from top to bottom."""

MARGIN = 16.0
PILL_HEIGHT = 24.0
PILL_PADDING = 10.0
INSET = 8.0
"""From a block's border to its pills."""
PILL_GAP = 6.0
LANE = 4.0
NOTE_LINE = 16.0
PORT = 18.0
"""Between the lines that arrive at the output."""


def layout(cell: Cell, inputs: tuple[bool, bool] = (True, True)) -> Layout:
    """Place a cell's parts.

    Args:
        cell: the cell, with or without its dead parts.
        inputs: whether input 0 and input 1 carry anything; what only a dead input feeds is dead.
    """
    if not cell.edges:
        cell = Cell(0, (), ())
    plan = grid(cell)
    across = len(plan.columns) - 2 <= WIDEST
    return _Drawing(cell, inputs, plan, across).result()


def node_name(node: int, output: int) -> str:
    """``c_{k-2}`` and ``c_{k-1}`` for the inputs, ``c_{k}`` for the output, else the number."""
    return {0: "c_{k-2}", 1: "c_{k-1}", output: "c_{k}"}.get(node, str(node))


class _Drawing:
    """One layout in the making.

    Lengths run *along* the columns' order (from left to right, or down) and *beside* it; ``across``
    says which of them is x.
    """

    def __init__(self, cell: Cell, inputs: Sequence[bool], plan: Grid, across: bool) -> None:
        live = cell.live(inputs)
        self.cell = cell
        self.plan = plan
        self.across = across
        self.live_edges = set(live.edges)
        self.live_nodes = {edge.source for edge in live.edges} | set(live.concat)
        self.live_nodes |= {node for node in range(INPUTS) if inputs[node]}
        if live.concat:
            self.live_nodes.add(plan.output)
        self.pill_width = {
            column: max(
                (_pill_width(e) for e in cell.edges if plan.depth[e.target] == column), default=0.0
            )
            for column in range(len(plan.columns))
        }
        self.centre = centres(plan, self._extent, self._gap)
        self.starts = self._starts()

    def result(self) -> Layout:
        """The finished layout, moved to the origin and framed."""
        low = min(self.centre[place] - self._extent(place) / 2 for place in self.centre)
        high = max(self.centre[place] + self._extent(place) / 2 for place in self.centre)
        last = len(self.plan.columns) - 1
        along = self.starts[last] + self._thickness(last) + MARGIN
        self.centre = {place: value - low + MARGIN for place, value in self.centre.items()}
        beside = high - low + 2 * MARGIN
        notes = _note_lines(self.cell, self.live_edges) if self.cell.edges else []
        wanted = max((text_width(line, SMALL_TEXT) for line in notes), default=0.0) + 2 * MARGIN
        width, height = (along, beside) if self.across else (beside, along)
        if wanted > width:
            if not self.across:
                shift = (wanted - width) / 2
                self.centre = {place: value + shift for place, value in self.centre.items()}
            width = wanted
        blocks = self._blocks()
        return Layout(
            width,
            height + NOTE_LINE * len(notes),
            tuple(blocks),
            tuple(self._connectors({block.number: block for block in blocks})),
            tuple(
                Label(line, width / 2, height + NOTE_LINE * (i - 0.25), SMALL_TEXT)
                for i, line in enumerate(notes)
            )
            or _empty_label(self.cell, width, height),
        )

    def _extent(self, place: Place) -> float:
        """Size beside the columns' order."""
        if self.plan.is_lane(place):
            return LANE
        edges = self.cell.in_edges(place[1])
        if self.across:
            pills = len(edges) * (PILL_HEIGHT + PILL_GAP) - PILL_GAP
        else:
            pills = sum(_pill_width(edge) + PILL_GAP for edge in edges) - PILL_GAP
        least = 44.0 if self.across else 88.0
        ports = PORT * len(self.cell.concat) if place[1] == self.plan.output else 0.0
        return max(least, ports, pills + 2 * INSET)

    def _gap(self, one: Place, other: Place) -> float:
        lanes = self.plan.is_lane(one) + self.plan.is_lane(other)
        return (20.0, 14.0, 8.0)[lanes]

    def _thickness(self, column: int) -> float:
        """A column's size along the columns' order."""
        if not 0 < column < len(self.plan.columns) - 1:
            return 64.0 if self.across else 32.0
        if self.across:
            return INSET + self.pill_width[column] + 46.0
        return INSET + PILL_HEIGHT + 26.0

    def _starts(self) -> list[float]:
        starts = [MARGIN]
        for column in range(1, len(self.plan.columns)):
            lines = sum(link[1][0] == column for link in self.plan.links)
            gap = min(100.0, 36.0 + 5.0 * lines) if self.across else min(72.0, 30.0 + 3.0 * lines)
            if not self.cell.edges:
                gap = text_width(EMPTY_NOTE, NAME_TEXT) + 2 * MARGIN
            starts.append(starts[-1] + self._thickness(column - 1) + gap)
        return starts

    def _box(self, along: float, beside: float, thickness: float, extent: float) -> Box:
        if self.across:
            return Box(along, beside, thickness, extent)
        return Box(beside, along, extent, thickness)

    def _point(self, along: float, beside: float) -> Point:
        return (along, beside) if self.across else (beside, along)

    def _blocks(self) -> list[Block]:
        blocks = []
        for node, column in self.plan.depth.items():
            place = (column, node)
            extent, thickness = self._extent(place), self._thickness(column)
            box = self._box(self.starts[column], self.centre[place] - extent / 2, thickness, extent)
            pills = self._pills(place) if self.cell.in_edges(node) else ()
            dead = node not in self.live_nodes
            labels = self._labels(node, box, dead, bool(pills))
            blocks.append(Block(node, box, labels, pills, dead))
        return blocks

    def _labels(self, node: int, box: Box, dead: bool, pills: bool) -> tuple[Label, ...]:
        x, y = box.centre
        if pills and self.across:
            x = box.right - 24.0
        elif pills:
            y = box.bottom - 14.0
        name = node_name(node, self.plan.output)
        formula = name != str(node)
        word = "concat" if node == self.plan.output else "dead" if dead else ""
        if not word:
            return (Label(name, x, y, NAME_TEXT, formula),)
        if self.across:
            above = Label(name, x, y - 8, NAME_TEXT, formula)
            return above, Label(word, x, y + 9, SMALL_TEXT)
        half = text_width(word, SMALL_TEXT) / 2
        before = Label(name, x - half, y, NAME_TEXT, formula)
        return before, Label(word, x + 14, y, SMALL_TEXT)

    def _pills(self, place: Place) -> tuple[Pill, ...]:
        column, node = place
        edges = sorted(self.cell.in_edges(node), key=lambda e: self.centre[(column - 1, e.source)])
        widths = [self.pill_width[column] if self.across else _pill_width(e) for e in edges]
        extents = [PILL_HEIGHT if self.across else width for width in widths]
        beside = self.centre[place] - (sum(extents) + PILL_GAP * (len(edges) - 1)) / 2
        pills = []
        for edge, extent, width in zip(edges, extents, widths, strict=True):
            thickness = width if self.across else PILL_HEIGHT
            box = self._box(self.starts[column] + INSET, beside, thickness, extent)
            pills.append(self._pill(edge, box))
            beside += extent + PILL_GAP
        return tuple(pills)

    def _pill(self, edge: Edge, box: Box) -> Pill:
        dead = edge not in self.live_edges
        hint = f"{edge.op} of {node_name(edge.source, self.plan.output)} into node {edge.target}"
        return Pill(
            box,
            Label(pill_text(edge.op), *box.centre, PILL_TEXT),
            f"{hint} (dead)" if dead else hint,
            FAMILY_COLOURS[op_family(edge.op)],
            dead,
            edge.source,
        )

    def _connectors(self, blocks: dict[int, Block]) -> list[Connector]:
        lines = []
        for block in blocks.values():
            for pill in block.pills:
                end = self._entry(pill.box)
                if pill.source is not None:
                    lines.append(self._line(pill.source, block.number, end, pill.dead))
        output = blocks[self.plan.output]
        column = self.plan.depth[self.plan.output]
        feeding = sorted(self.cell.concat, key=lambda node: self.centre[(column - 1, node)])
        for i, node in enumerate(feeding):
            side = (i + 1) / (len(feeding) + 1) - 0.5
            beside = self.centre[(column, output.number)] + side * self._extent(
                (column, output.number)
            )
            end = self._point(self.starts[column], beside)
            lines.append(self._line(node, output.number, end, node not in self.live_nodes))
        return sorted(lines, key=lambda line: (not line.dead, line.source))

    def _entry(self, box: Box) -> Point:
        """The middle of the side at which lines arrive."""
        return (box.x, box.centre[1]) if self.across else (box.centre[0], box.y)

    def _line(self, source: int, target: int, end: Point, dead: bool) -> Connector:
        along, beside = end if self.across else (end[1], end[0])
        first, last = self.plan.depth[source], self.plan.depth[target]
        stops = [(self.starts[first] + self._thickness(first), self.centre[(first, source)])]
        for column in range(first + 1, last):
            lane = self.centre[(column, source)]
            stops.append((self.starts[column], lane))
            stops.append((self.starts[column] + self._thickness(column), lane))
        stops.append((self.starts[last], beside))
        if along > self.starts[last]:
            stops.append((along, beside))
        points = [self._point(*stops[0])]
        for (u, v), (after_u, after_v) in pairwise(stops):
            middle = (u + after_u) / 2
            ends = ((middle, v), (middle, after_v), (after_u, after_v))
            points += [self._point(*stop) for stop in ends]
        return Connector(source, target, tuple(points), dead)


def pill_text(op: str) -> str:
    """The label on one line, whatever white space the op's name holds."""
    return " ".join(op_label(op).split())


def _pill_width(edge: Edge) -> float:
    return text_width(pill_text(edge.op), PILL_TEXT) + 2 * PILL_PADDING


def _empty_label(cell: Cell, width: float, height: float) -> tuple[Label, ...]:
    """In the middle between the inputs and the output, which are as wide as each other."""
    return () if cell.edges else (Label(EMPTY_NOTE, width / 2, height / 2, NAME_TEXT),)


def _note_lines(cell: Cell, live_edges: set[Edge]) -> list[str]:
    notes = []
    if not live_edges:
        notes.append("passes nothing on: no live node reaches the output")
    shown = {node for edge in cell.edges for node in (edge.source, edge.target)} | set(cell.concat)
    absent = [str(node) for node in range(INPUTS, INPUTS + cell.nodes) if node not in shown]
    if absent:
        notes.append(f"left out, as without edges: {', '.join(absent)}")
    return [line for note in notes for line in textwrap.wrap(note, 36)]
