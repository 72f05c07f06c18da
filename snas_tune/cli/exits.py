"""How a program ends: its exit statuses, and the end at once."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended."""


def end(status: int, line: str = "") -> NoReturn:
    """End the process at once, with one last line on standard error.

    Nothing else is done: no thread is waited for, and what Ray started ends with this process.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if line:
        with suppress(OSError):  # closed, or full and nobody reads it
            os.set_blocking(2, False)
            os.write(2, f"{line}\n".encode())
    os._exit(status)
