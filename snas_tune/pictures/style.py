"""What the pictures of cells share: op labels, op families, colours and text widths.

Standard library only, as everything that a page without matplotlib needs.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

PILL_TEXT = 12.0
"""Font size of an op label, in pixels."""

NODE_TEXT = 14.0
"""Font size of a node's number, in pixels."""

SMALL_TEXT = 11.0
"""Font size of notes and of the word below a node's number, in pixels."""

HEADING_TEXT = 16.0
"""Font size of titles, in pixels."""

LINE = 1.8
"""Width of a connector, in pixels."""

SEAM = 4.6
"""Width of the seam on which a connector is drawn, in pixels."""

FAMILY_COLOURS = {
    "separable": "#E69F00",
    "dilated": "#009E73",
    "pool": "#56B4E9",
    "skip": "#F0E442",
    "other": "#CC79A7",
}
"""Fill of a live pill, from the colour-blind safe set of Okabe and Ito (2008)."""

PILL_INK = "#111111"
"""Text of a live pill, dark on every one of :data:`FAMILY_COLOURS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colours of one picture, apart from the fills of live pills."""

    paper: str
    ink: str
    line: str
    card: str
    border: str
    pale_line: str
    pale_ink: str


LIGHT = Palette(
    paper="#FFFFFF",
    ink="#1A1A1A",
    line="#5F6B76",
    card="#EEF1F4",
    border="#8A96A1",
    pale_line="#A9B2BA",
    pale_ink="#626A72",
)

DARK = Palette(
    paper="#14181D",
    ink="#F2F4F6",
    line="#A3AFBA",
    card="#262D35",
    border="#71808E",
    pale_line="#5B6772",
    pale_ink="#98A3AD",
)

_SHORT_FORMS = (
    (re.compile(r"(sep|dil)_conv_(\d+x\d+)"), r"\1 \2"),
    (re.compile(r"(max|avg)_pool_(\d+x\d+)"), r"\1 pool \2"),
    (re.compile(r"skip_connect"), r"skip"),
)

_FAMILIES = (
    ("pool", re.compile(r"(^|_)pool(_|$)")),
    ("skip", re.compile(r"^(skip|identity)(_|$)")),
    ("separable", re.compile(r"^sep(_|$)")),
    ("dilated", re.compile(r"^dil(_|$)")),
)


def op_label(op: str) -> str:
    """The text on a pill: ``sep_conv_3x3`` as ``sep 3x3``; an unknown op's name as it is."""
    for pattern, short in _SHORT_FORMS:
        if pattern.fullmatch(op):
            return pattern.sub(short, op)
    return op


def op_family(op: str) -> str:
    """The key of :data:`FAMILY_COLOURS` for an op's name."""
    return next((family for family, name in _FAMILIES if name.search(op)), "other")


def text_width(text: str, size: float) -> float:
    """An upper estimate of the width of ``text`` at font size ``size``, in the unit of ``size``.

    The classes of characters are those of DejaVu Sans, which is wider than other usual fonts.
    """
    return size * sum(_character_width(character) for character in text)


def _character_width(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.1
    if character in "ijlI.,:;'|! ":
        return 0.38
    if character in "mwMW@%" or not character.isascii():
        return 1.0
    return 0.78 if character.isupper() else 0.65
