"""The watch over a running sweep: when it is lost, when it is only slow, and the end of a lost one.

:func:`cause` and :func:`delay` decide, from what one look found. :class:`Watch` looks every few
seconds in a thread of its own, and frees the thread that waits for Ray when the sweep is lost.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

from snas_tune.sweep.lines import say

EVERY = 2.0
"""Seconds between looks."""

SILENCE = 40.0
"""Seconds in which Ray's head must answer; Ray itself ends a process after 60 without a word."""

GRACE = 8.0
"""Seconds in which the thread that runs the sweep must come back from Ray."""

AGAIN = 5.0
"""Seconds before a thread is freed once more: something may have caught the first time."""

USUAL, LEAST, FIRST = 20, 600.0, 1800.0
"""No result is worth a line after so many epochs' usual time, but after so many seconds at least;
and after so many seconds before the first result."""


class SweepLost(RuntimeError):  # noqa: N818 - a state of a sweep
    """A sweep cannot go on: Ray or the results' folder is gone. The message is one line."""


class Freed(BaseException):  # an Exception would be taken for the failure of a trial
    """Raised in the thread that runs a lost sweep, so that it stops waiting for Ray."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look at a running sweep found."""

    dead: str = ""
    """Which of Ray's processes that this one started have ended, as words."""

    silent: float = 0.0
    """Seconds since Ray's head last answered."""

    machines: int | None = None
    """How many are alive, as the head last said."""

    here: bool = True
    """Whether Ray's node on this machine is one of them."""

    folder: str = ""
    """The results' folder, as far as it is not where it was, and where it is now, as words."""

    quiet: float = 0.0
    """Seconds since the last result of any trial, or since the start."""

    epoch: float | None = None
    """Seconds that an epoch usually takes; None before the first result."""

    running: int = 0
    """How many trials run."""


def cause(sight: Sight) -> str:
    """Why the sweep is lost; empty if it is not."""
    if sight.folder:
        return sight.folder
    if sight.dead:
        return f"{sight.dead} died"
    if sight.machines == 0:
        return "no machine of Ray's cluster is alive"
    if not sight.here:
        return "Ray's node on this machine died"
    if sight.silent > SILENCE:
        return f"Ray's head did not answer for {sight.silent:.0f} s"
    return ""


def delay(sight: Sight) -> str:
    """What to say of a sweep from which no result came for long; empty if there is nothing."""
    runs = f"{sight.running} trials run"
    if sight.epoch is None:
        if sight.quiet <= FIRST:
            return ""
        return f"no result in the first {sight.quiet / 60:.0f} minutes, {runs}; waiting on"
    if sight.quiet <= max(LEAST, USUAL * sight.epoch):
        return ""
    return (
        f"no result for {sight.quiet / 60:.0f} minutes, {runs}, an epoch usually takes "
        f"{sight.epoch:.0f} s; waiting on"
    )


class Watch:
    """A thread that looks at a sweep while another one, which enters the watch, runs it.

    When the sweep is lost, the other thread is freed and :class:`SweepLost` leaves the ``with``
    block. Where it cannot be freed, as it waits inside Ray, ``stuck`` is called from the watch's
    thread; if that returns, the watch goes on trying.

    Args:
        look: what there is to see; quick.
        last_words: one line from a cause, after what was still to be saved is saved.
        stuck: takes that line.
        every: seconds between looks.
        grace: seconds before the other thread is taken to be stuck.
        alone: where nobody leaves the watch by a ``with`` block: whether the thread of this number
            is done with the sweep, so that the watch ends by itself. ``Freed`` then says it all.
    """

    def __init__(
        self,
        look: Callable[[], Sight],
        last_words: Callable[[str], str],
        stuck: Callable[[str], None] = say,
        *,
        every: float = EVERY,
        grace: float = GRACE,
        alone: Callable[[int], bool] | None = None,
    ) -> None:
        self._look = look
        self._last_words = last_words
        self._stuck = stuck
        self._every, self._grace = every, grace
        self.alone = alone
        self._over = threading.Event()
        self._lock = threading.Lock()
        """Held while the other thread is sent something, which it must not be after the end."""
        self._cause = ""
        self._freed = -float("inf")
        self._before: Any = None
        self._owner = threading.current_thread()
        self._thread = threading.Thread(target=self._watch, name="sweep-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._owner = threading.current_thread()
        if self._in_main:
            self._before = signal.signal(signal.SIGUSR2, self._raise)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return
        why = self._cause or cause(self._look())
        if why:
            raise SweepLost(self._last_words(why)) from (
                None if isinstance(error, Freed) else error
            )

    def close(self) -> None:
        """Watch no more."""
        with self._lock:
            self._over.set()
        if threading.current_thread() is self._owner and self._in_main:
            signal.signal(signal.SIGUSR2, self._before or signal.SIG_DFL)

    @property
    def _in_main(self) -> bool:
        return self._owner is threading.main_thread()

    def _watch(self) -> None:
        told = False
        while not self._over.wait(self._every):
            sight = self._look()
            if self.alone is not None and self.alone(self._owner.ident or 0):
                self._over.set()
                return
            self._cause = cause(sight)
            if self._cause:
                self._end()
                return
            line = delay(sight)
            if line and not told:
                say(line)
            told = bool(line)

    def _end(self) -> None:
        """Free the other thread, or say that it is stuck and go on trying."""
        end = time.monotonic() + self._grace
        while time.monotonic() < end:
            self._free()
            if self._over.wait(0.2):
                return
        self._stuck(self._last_words(self._cause))
        while not self._over.wait(1.0):
            self._free()

    def _free(self) -> None:
        """Have :class:`Freed` raised in the other thread, now and again: something may catch it."""
        with self._lock:
            if self._over.is_set():
                return
            if self._in_main:  # Ray looks for signals while it waits
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)
            elif self._due():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._owner.ident or 0), ctypes.py_object(Freed)
                )

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self._cause and not self._over.is_set() and self._due():
            if self.alone is None:
                raise Freed(self._cause)
            self.close()
            line = self._last_words(self._cause)
            self._stuck(line)  # Ray may put an error of its own in place of this one
            raise Freed(line)

    def _due(self) -> bool:
        """Whether the last time is some seconds ago."""
        before, self._freed = self._freed, time.monotonic()
        if self._freed - before > AGAIN:
            return True
        self._freed = before
        return False
