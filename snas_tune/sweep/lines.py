"""Lines on standard error, where nothing may wait for a reader."""

from __future__ import annotations

import io
import select
import sys
from typing import TextIO

MOST = 4000
"""Most characters of a line: a pipe that has room takes 4096 bytes at once."""


def say(line: str) -> None:
    """Write a line to standard error at once; it is lost where that is closed or full.

    A sweep must not end or stand still because its terminal is gone or a pager waits.
    """
    text = line if len(line) <= MOST else f"{line[:MOST]}..."
    stream = sys.stderr
    try:
        if stream is not None and _has_room(stream):
            stream.write(f"{text}\n")
            stream.flush()
    except Exception:  # whatever a program has put in the place of standard error
        return


def _has_room(stream: TextIO) -> bool:
    """Whether a write returns at once; true for what is no file of the system."""
    try:
        descriptor = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return True
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
