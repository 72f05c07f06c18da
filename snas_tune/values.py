"""A value that a user gave: as Python's own type, and as a few words of a message."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

MOST_SHOWN = 60
"""Most characters of a value in a message."""

PLAIN = (bool, int, float, str, type(None))


def plain(value: Any) -> Any:
    """A single number, truth value or text of NumPy or torch as Python's; others as they are.

    Settings go into JSON, which knows only Python's.
    """
    if type(value) in PLAIN or getattr(value, "shape", None) != ():
        return value
    try:
        return value.item()
    except (AttributeError, TypeError, ValueError, RuntimeError):  # a tensor without data
        return value


def shown(value: object) -> str:
    """A value as code on one line, of at most :data:`MOST_SHOWN` characters."""
    try:
        text = " ".join(_SHORT.repr(value).split())
    except Exception:  # an object's own repr may do anything
        text = f"<{type(value).__name__}>"
    if len(text) <= MOST_SHOWN:
        return text
    half = (MOST_SHOWN - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def perhaps(name: object, known: Iterable[object]) -> str:
    """Known names that are near one that is not: ``perhaps epochs``; empty if there are none."""
    near = difflib.get_close_matches(str(name)[:MOST_SHOWN], list(map(str, known)))
    return f"perhaps {' or '.join(near)}" if near else ""


class _Short(reprlib.Repr):
    """Stops early, so that a text of a gigabyte costs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 2 * MOST_SHOWN
        self.maxlist = self.maxtuple = self.maxset = self.maxdict = 12

    def repr_int(self, value: int, level: int) -> str:
        """Python writes no whole number of many thousand digits."""
        if value.bit_length() > 10_000:
            return f"<a whole number of {value.bit_length()} bits>"
        return super().repr_int(value, level)

    def repr_bytes(self, value: bytes, level: int) -> str:
        """As of a text."""
        return repr(value[: self.maxstring])


_SHORT = _Short()
