"""How a program ends: its exit statuses, and the end at once."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended."""


CLOSED = 141
"""Exit status of a program whose reader has gone, as in ``| head``: 128 and SIGPIPE."""


def open_streams() -> None:
    """Open the null device in place of standard streams that were closed, as by ``2>&-``.

    Python has None for these. Libraries write to them all the same, and a file that is opened later
    would take the place of one.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode)  # noqa: SIM115  # the lowest descriptor
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def closed() -> int:
    """Let go of a standard output that nobody reads; Python would write to it again at its end.

    Returns:
        The exit status.
    """
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CLOSED


def end(status: int, line: str = "") -> NoReturn:
    """End the process at once, with one last line on standard error.

    Nothing else is done: no thread is waited for, and what Ray started ends with this process.
    """
    try:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # there may be none, or one that is closed
                stream.flush()
        if line and sys.stderr is not None:
            with suppress(OSError):  # closed, or full and nobody reads it
                os.set_blocking(2, False)
                os.write(2, f"{line}\n".encode(errors="backslashreplace"))
    finally:
        os._exit(status)
