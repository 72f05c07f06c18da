"""Choices as a table: in each row the name of a choice, and beside it its option as a pill.

Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle

from snas_tune.architecture import one_line
from snas_tune.pictures.shapes import Block, Box, Label, Layout, Pill
from snas_tune.pictures.style import NAME_TEXT, PILL_COLOURS, PILL_TEXT, text_width

MARGIN = 16.0
ROW = 34.0
"""Height of a row."""
GAP = 6.0
"""Between two rows."""
COLUMN_GAP = 20.0
PADDING = 12.0
"""Between a row's border and its content, and between a name and its pill."""
PILL_HEIGHT = 22.0
PILL_PADDING = 10.0

LONGEST = 44
"""Characters of a name or an option; the rest of a longer one is in the pill's hint."""

EMPTY = "no choices"
"""The text of an empty table."""

Row = tuple[str, str]


def option_table(rows: Sequence[Row], columns: int) -> Layout:
    """Place names and options in at most so many columns, filled one after the other.

    Args:
        rows: name and option of each choice, in the order in which they are shown.
        columns: 1 or more.
    """
    if not rows:
        width = text_width(EMPTY, NAME_TEXT) + 2 * MARGIN
        note = Label(EMPTY, width / 2, MARGIN + ROW / 2, NAME_TEXT)
        return Layout(width, ROW + 2 * MARGIN, (), (), (note,))
    height = math.ceil(len(rows) / columns)
    colours = _colours(rows)
    blocks: list[Block] = []
    x = MARGIN
    for first in range(0, len(rows), height):
        column = rows[first : first + height]
        names, options = (max(map(_width, texts)) for texts in zip(*column, strict=True))
        width = 3 * PADDING + names + options
        for i, row in enumerate(column):
            box = Box(x, MARGIN + i * (ROW + GAP), width, ROW)
            blocks.append(_row(first + i, box, row, options, colours[row[1]]))
        x += width + COLUMN_GAP
    bottom = MARGIN + height * (ROW + GAP) - GAP + MARGIN
    return Layout(x - COLUMN_GAP + MARGIN, bottom, tuple(blocks), (), ())


def _row(number: int, box: Box, row: Row, width: float, colour: str) -> Block:
    """One choice; its pill is ``width`` wide, as those above and below it."""
    name, option = row
    pill = Box(box.right - PADDING - width, box.y + (ROW - PILL_HEIGHT) / 2, width, PILL_HEIGHT)
    label = Label(_cut(name), box.x + PADDING, box.centre[1], NAME_TEXT, left=True)
    shown = Label(_cut(option), *pill.centre, PILL_TEXT)
    return Block(number, box, (label,), (Pill(pill, shown, f"{name}: {option}", colour),))


def _colours(rows: Sequence[Row]) -> dict[str, str]:
    """A colour for each option, in the order of their texts; more than there are colours share."""
    names = cycle(PILL_COLOURS)
    return dict(zip(sorted({option for _, option in rows}), names, strict=False))


def _cut(text: str) -> str:
    return one_line(text, LONGEST)


def _width(text: str) -> float:
    """Room for a text as a name, which is the larger and bold, or in a pill."""
    return text_width(_cut(text), NAME_TEXT) + 2 * PILL_PADDING
