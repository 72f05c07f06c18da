"""How far a download or a decoding is, told to a callback; the usual one writes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)``; ``total`` is 0 where it is unknown."""


def silent(what: str, done: int, total: int) -> None:
    """A progress callback that says nothing."""


class StderrProgress:
    """One line that is rewritten on a terminal, a line every 10 % elsewhere.

    Args:
        stream: where to write, None for stderr.
        patience: seconds for which a job stays silent, so that a short one says nothing.
    """

    def __init__(self, stream: TextIO | None = None, *, patience: float = 1.0) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._patience = patience
        self._what = ""
        self._start = 0.0
        self._shown = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._what, self._start, self._shown = what, time.monotonic(), 0
        if total <= 0 or time.monotonic() - self._start < self._patience:
            return
        terminal = self._stream.isatty()
        step = 1 if terminal else 10
        percent = 100 * done // total // step * step
        if percent <= self._shown:
            return
        self._shown = percent
        line = f"{what}: {percent} %"
        if terminal:
            line = f"\r{line}" + ("\n" if done >= total else "")
        else:
            line += "\n"
        self._stream.write(line)
        self._stream.flush()
