"""Lines on standard error, whatever has become of it."""

from __future__ import annotations

import fcntl
import io
import os
import sys

import pytest

from snas_tune.sweep.lines import say


def full_pipe() -> tuple[int, io.TextIOWrapper]:
    """A reader that reads nothing, and a stream that would wait for it."""
    reader, writer = os.pipe()
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        fcntl.fcntl(writer, fcntl.F_SETFL, flags)
    return reader, os.fdopen(writer, "w", buffering=1)


def test_a_line_neither_waits_for_its_reader_nor_needs_one(monkeypatch):
    reader, stream = full_pipe()
    monkeypatch.setattr(sys, "stderr", stream)
    say("nobody reads this")  # a write would never return
    os.read(reader, 65536)
    say("x" * 100_000)
    assert os.read(reader, 65536) == b"x" * 4000 + b"...\n"
    os.close(reader)
    say("broken pipe")
    os.close(stream.fileno())
    say("closed below")
    with pytest.raises(OSError, match="Bad file descriptor"):
        stream.close()
    for other in (None, stream, object()):
        monkeypatch.setattr(sys, "stderr", other)
        say("no reader at all")
