"""The sheet of any architecture: its own, or a table of its choices; and panels put on a sheet.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from snas_tune.architecture import Architecture
from snas_tune.pictures.option_table import option_table
from snas_tune.pictures.shapes import Label, Layout, Panel, Sheet
from snas_tune.pictures.style import HEADING_TEXT, NAME_TEXT, text_width
from snas_tune.values import shown

SCREEN = (1280.0, 800.0)
"""Width and height that a picture should fit."""

MOST_COLUMNS = 8
"""Of a table of choices."""

TITLE_LINE = 36.0
HEADING_LINE = 28.0
GUTTER = 24.0
"""Between two panels side by side."""


@runtime_checkable
class Drawn(Protocol):
    """An architecture that has a picture of its own."""

    def sheet(self, title: str = "", part: str = "") -> Sheet:
        """It as a picture.

        Args:
            title: shown above.
            part: one of its ``parts()``, drawn alone.
        """
        ...


def sheet_of(architecture: Architecture, title: str = "", part: str = "") -> Sheet:
    """The picture of an architecture, or of one part of it.

    An architecture whose class has no ``sheet`` is a table: the name of each choice, and beside it
    its option.

    Raises:
        ValueError: it has no part of that name.
    """
    parts = architecture.parts()
    if part and part not in parts:
        raise ValueError(f"part must be one of {', '.join(parts)}, got {shown(part)}")
    if isinstance(architecture, Drawn):
        return architecture.sheet(title, part)
    drawn = {part: parts[part]} if part else parts
    heads = list(drawn) if len(parts) > 1 else [""]
    sheets: list[Sheet] = []
    for columns in range(1, MOST_COLUMNS + 1):
        tables = [option_table(rows, columns) for rows in drawn.values()]
        sheets += both_ways(title, list(zip(heads, tables, strict=True)))
    return best_fit(sheets)


def both_ways(title: str, parts: Sequence[tuple[str, Layout]]) -> tuple[Sheet, Sheet]:
    """Headed layouts side by side, and one below the other."""
    return arranged(title, parts, beside=True), arranged(title, parts, beside=False)


def best_fit(sheets: Iterable[Sheet]) -> Sheet:
    """The first of the sheets that shrink least to fit a screen."""
    return max(sheets, key=lambda sheet: min(1, SCREEN[0] / sheet.width, SCREEN[1] / sheet.height))


def arranged(title: str, parts: Sequence[tuple[str, Layout]], beside: bool) -> Sheet:
    """Layouts with their headings below a title; an empty heading takes no room."""
    top = TITLE_LINE if title else 0.0
    least = text_width(title, HEADING_TEXT) + 32.0 if title else 0.0
    widths = [max(part.width, _heading_width(heading)) for heading, part in parts]
    inner = sum(widths) + GUTTER * (len(parts) - 1) if beside else max(widths)
    width = max(least, inner)
    x, y = (width - inner) / 2, top
    headings = [Label(title, width / 2, top / 2 + 4, HEADING_TEXT)] if title else []
    panels = []
    for (heading, part), room in zip(parts, widths, strict=True):
        line = HEADING_LINE if heading else 0.0
        middle = x + room / 2 if beside else width / 2
        if heading:
            headings.append(Label(heading, middle, y + line / 2 + 2, NAME_TEXT))
        panels.append(Panel(middle - part.width / 2, y + line, part))
        if beside:
            x += room + GUTTER
        else:
            y += line + part.height
    bottom = max(panel.y + panel.layout.height for panel in panels)
    return Sheet(width, bottom, tuple(headings), tuple(panels))


def _heading_width(heading: str) -> float:
    return text_width(heading, NAME_TEXT) if heading else 0.0
