"""Progress of a download or a decoding, for a callback; the usual one writes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated, TextIO

from tqdm import tqdm

from snas_tune.arguments import checked
from snas_tune.checks import NOT_NEGATIVE, Check

Progress = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)``; ``total`` is 0 where it is unknown."""


A_STREAM = Check(lambda value: hasattr(value, "isatty"), "a stream of text")


def silent(what: str, done: int, total: int) -> None:
    """A progress callback that says nothing."""


class StderrProgress:
    """A bar on a terminal; a line every 10 % elsewhere, as in a log.

    Args:
        stream: where to write, None for stderr.
        patience: seconds for which a job stays silent, so that a short one says nothing.
    """

    @checked
    def __init__(
        self,
        stream: Annotated[TextIO | None, A_STREAM] = None,
        *,
        patience: Annotated[float, NOT_NEGATIVE] = 1.0,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._patience = patience
        self._what = ""
        self._show: Callable[[int, int], None] = _ignore

    def __call__(self, what: str, done: int, total: int) -> None:
        if total <= 0:
            return
        if what != self._what:
            self._what, self._show = what, _ignore  # ends a bar that is not at its end
            kind = _Bar if self._stream.isatty() else _Lines
            self._show = kind(self._stream, what, self._patience)
        self._show(done, total)


def _ignore(done: int, total: int) -> None:
    """Before there is a job."""


class _Lines:
    def __init__(self, stream: TextIO, what: str, patience: float) -> None:
        self._stream, self._what = stream, what
        self._begin = time.monotonic() + patience
        self._shown = 0

    def __call__(self, done: int, total: int) -> None:
        percent = 100 * done // total // 10 * 10
        if percent > self._shown and time.monotonic() >= self._begin:
            self._shown = percent
            self._stream.write(f"{self._what}: {percent} %\n")
            self._stream.flush()


class _QuietTqdm(tqdm):  # type: ignore[misc]
    monitor_interval = 0  # no thread of tqdm's own: a process with threads must not fork


class _Bar:
    def __init__(self, stream: TextIO, what: str, patience: float) -> None:
        self._bar = _QuietTqdm(
            desc=what,
            total=0,
            file=stream,
            delay=patience,
            miniters=1,  # looks at the clock each time, as steps take unequal times
            bar_format="{desc}: {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left",
        )

    def __call__(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()
