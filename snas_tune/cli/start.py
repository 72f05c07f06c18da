"""Where the command starts and ends: Ctrl-C is one line and status 130 at any moment.

This module imports next to nothing, so that it is there before anything slow is.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

from snas_tune.cli.exits import INTERRUPTED, end, open_streams

PATIENCE = 10.0
"""Seconds in which an interrupted command must come to its end by itself."""


def _end_now(number: int, frame: FrameType | None) -> NoReturn:
    end(INTERRUPTED, "interrupted")


class Interrupts:
    """Ctrl-C while a command runs: an exception the first time, the end the second time."""

    def __init__(self) -> None:
        self.asked = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """For ``signal.signal``.

        Raises:
            KeyboardInterrupt: so that the command ends what it began. A library may take that for
                something else, or wait; the process then ends by itself, later.
        """
        if self.asked:
            _end_now(number, frame)
        self.asked = True
        sys.unraisablehook = threading.excepthook = _silent
        signal.signal(signal.SIGINT, _end_now)
        timer = threading.Timer(PATIENCE, end, (INTERRUPTED, "interrupted"))
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt


def _silent(*_: Any) -> None:
    """For errors that nobody can catch: they come of the interruption."""


def main() -> int:
    """The entry point of ``snas-tune``; see :func:`snas_tune.cli.app.main`."""
    open_streams()
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        from snas_tune.cli.app import main as run

        return run()  # whoever started this process ignores Ctrl-C, as `nohup` and `&` do
    signal.signal(signal.SIGINT, _end_now)
    from snas_tune.cli.app import main as run

    interrupts = Interrupts()
    signal.signal(signal.SIGINT, interrupts.handle)
    try:
        status = run()
    except BaseException:
        signal.signal(signal.SIGINT, _end_now)
        if not interrupts.asked:
            raise
        print("interrupted", file=sys.stderr)
        status = INTERRUPTED
    signal.signal(signal.SIGINT, _end_now)
    if interrupts.asked:
        # What is left to do at exit may wait for what was interrupted.
        end(INTERRUPTED, "" if status == INTERRUPTED else "interrupted")
    return status
