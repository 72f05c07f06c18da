"""Architectures as SVG text: standard library only, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated
from xml.sax.saxutils import escape, quoteattr

from snas_tune.architecture import Architecture
from snas_tune.arguments import checked
from snas_tune.checks import FLAG, TITLE, is_instance
from snas_tune.pictures.shapes import (
    Block,
    Box,
    Connector,
    Label,
    Layout,
    Piece,
    Pill,
    Sheet,
    strokes,
)
from snas_tune.pictures.sheets import sheet_of
from snas_tune.pictures.style import DARK, LIGHT, LINE, PILL_COLOURS, PILL_INK, SEAM, Palette

FONTS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@checked
def architecture_svg(
    architecture: Annotated[Architecture, is_instance(Architecture)],
    *,
    title: Annotated[str, TITLE] = "",
    part: Annotated[str, TITLE] = "",
    dark: Annotated[bool, FLAG] = False,
) -> str:
    """An architecture, or one part of it, as an SVG document.

    Args:
        architecture: of any space, see :func:`snas_tune.pictures.sheets.sheet_of`.
        title: shown above, and the picture's accessible name.
        part: one of its ``parts()``, drawn alone.
        dark: light lines on a dark ground.

    Returns:
        Equal text for equal arguments. Its ``<desc>`` says the same in words.

    Raises:
        ValueError: it has no part of that name.
    """
    sheet = sheet_of(architecture, title, part)
    return _document(sheet, title or part or "Architecture", architecture.words(part), dark)


def _document(sheet: Sheet, title: str, words: str, dark: bool) -> str:
    palette = DARK if dark else LIGHT
    width, height = _number(sheet.width), _number(sheet.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONTS}" text-anchor="middle">',
        f"<title>{_text(title)}</title>",
        f"<desc>{_text(words)}</desc>",
        f'<rect width="{width}" height="{height}" fill="{palette.paper}"/>',
    ]
    lines += [_label(heading, palette.ink, bold=True) for heading in sheet.headings]
    for panel in sheet.panels:
        lines.append(f'<g transform="translate({_number(panel.x)} {_number(panel.y)})">')
        lines += _layout(panel.layout, palette)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


def _layout(layout: Layout, palette: Palette) -> list[str]:
    lines = _connectors(layout.connectors, palette)
    for block in layout.blocks:
        lines += _block(block, palette)
    return lines + [_label(note, palette.pale_ink) for note in layout.notes]


def _connectors(connectors: Sequence[Connector], palette: Palette) -> list[str]:
    """One path for each source, on a seam of the ground's colour, so crossings read as bridges."""
    lines = []
    for dead, pieces in strokes(connectors):
        path = "".join(_path(piece) for piece in pieces)
        colour = palette.pale_line if dead else palette.line
        dashes = ' stroke-dasharray="4 4"' if dead else ""
        lines += [
            f'<path d="{path}" fill="none" stroke="{palette.paper}" stroke-width="{SEAM:g}"/>',
            f'<path class="connector" d="{path}" fill="none" stroke="{colour}" '
            f'stroke-width="{LINE:g}"{dashes}/>',
        ]
    return lines


def _path(piece: Piece) -> str:
    numbers = [f"{_number(x)} {_number(y)}" for x, y in piece]
    return f"M{numbers[0]}C{' '.join(numbers[1:])}"


def _block(block: Block, palette: Palette) -> list[str]:
    ink = palette.pale_ink if block.dead else palette.ink
    border = palette.pale_line if block.dead else palette.border
    fill = palette.paper if block.dead else palette.card
    lines = [_rectangle("block", block.box, fill, border, block.dead)]
    lines += [line for pill in block.pills for line in _pill(pill, palette)]
    name, *words = block.labels
    lines.append(_label(name, ink, bold=True))
    return lines + [_label(word, palette.pale_ink) for word in words]


def _pill(pill: Pill, palette: Palette) -> list[str]:
    fill = palette.paper if pill.dead else PILL_COLOURS[pill.colour]
    border = palette.pale_line if pill.dead else fill
    return [
        "<g>",
        f"<title>{_text(pill.hint)}</title>",
        _rectangle("pill", pill.box, fill, border, pill.dead),
        _label(pill.label, palette.pale_ink if pill.dead else PILL_INK),
        "</g>",
    ]


def _rectangle(name: str, box: Box, fill: str, border: str, dashed: bool) -> str:
    radius = box.height / 2 if name == "pill" else 8
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<rect class="{name}" x="{_number(box.x)}" y="{_number(box.y)}" '
        f'width="{_number(box.width)}" height="{_number(box.height)}" rx="{_number(radius)}" '
        f'fill="{fill}" stroke="{border}"{dashes}/>'
    )


def _label(label: Label, colour: str, bold: bool = False) -> str:
    style = ' font-weight="bold"' if bold else ""
    style += ' text-anchor="start"' if label.left else ""
    # The base line lies below the middle by about a third of the font's size.
    y = label.y + 0.35 * label.size
    return (
        f'<text x="{_number(label.x)}" y="{_number(y)}" font-size="{_number(label.size)}" '
        f"fill={quoteattr(colour)}{style}>{_words(label)}</text>"
    )


def _words(label: Label) -> str:
    if not label.formula:
        return _text(label.text)
    base, subscript = label.text.removesuffix("}").split("_{")
    return f'{base}<tspan dy="4" font-size="10">{subscript}</tspan>'


def _text(text: str) -> str:
    """Escaped; characters that XML 1.0 cannot hold become the replacement character."""
    return escape(_NOT_XML.sub("\ufffd", text))


def _number(value: float) -> str:
    """At most two decimals, so that equal layouts give equal bytes on every machine."""
    return f"{round(value, 2) + 0.0:g}" if abs(value) < 1000 else f"{value:.2f}"
