"""Sizes, colours and text widths that all pictures share.

Standard library only, as everything that a page without matplotlib needs.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

PILL_TEXT = 12.0
"""Font size of a pill's label, in pixels."""

NAME_TEXT = 14.0
"""Font size of a block's name, in pixels."""

SMALL_TEXT = 11.0
"""Font size of notes and of words below a block's name, in pixels."""

HEADING_TEXT = 16.0
"""Font size of titles, in pixels."""

LINE = 1.8
"""Width of a connector, in pixels."""

SEAM = 4.6
"""Width of the seam on which a connector is drawn, in pixels."""

PILL_COLOURS = {
    "orange": "#E69F00",
    "green": "#009E73",
    "blue": "#56B4E9",
    "yellow": "#F0E442",
    "purple": "#CC79A7",
}
"""Fill of a live pill, from the colour-blind safe set of Okabe and Ito (2008)."""

PILL_INK = "#111111"
"""Text of a live pill, dark on every one of :data:`PILL_COLOURS`."""


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


def text_width(text: str, size: float) -> float:
    """An upper estimate of the width of ``text`` at font size ``size``, in the unit of ``size``.

    The classes of characters are of DejaVu Sans, which is wider than other usual fonts.
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
