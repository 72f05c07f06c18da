"""An event file of TensorBoard, of which every record is in the file as soon as it is added.

The writers of other packages have a queue and a thread for each file, or buffers. A full disk then
shows late, in the thread or at the end, and leaves half a record behind.
"""

from __future__ import annotations

import io
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

VERSION = "brain.Event:2"
"""What the first record of an event file says."""


class EventFile:
    """An event file in a folder, made when the first summary is added.

    It always ends with a whole record: after an error the rest of the failed one is cut off, and a
    file that cannot be cut is left for a new one.

    Args:
        folder: of the run; it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stream: io.FileIO | None = None
        self._end = 0
        """Bytes of whole records."""

    def add(self, summary: summary_pb2.Summary, step: int = 0) -> None:
        """Write a summary as one record.

        Raises:
            OSError: the file system does not take it now; the file is as it was.
        """
        stream = self._stream = self._stream or _new_file(self._folder)
        record = b"" if self._end else _record(event_pb2.Event(file_version=VERSION))
        record += _record(event_pb2.Event(summary=summary, step=step))
        try:
            _write_whole(stream, record)
        except BaseException:
            self._cut()
            raise
        self._end += len(record)

    def _cut(self) -> None:
        """Remove what a failed write left, or leave the file."""
        try:
            if self._stream is not None:
                os.ftruncate(self._stream.fileno(), self._end)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file; a later summary goes into a new one."""
        stream, self._stream, self._end = self._stream, None, 0
        if stream is not None:
            with suppress(OSError):  # nothing is buffered
                stream.close()

    def __del__(self) -> None:
        self.close()


def _new_file(folder: Path) -> io.FileIO:
    """An empty file whose name is after those of the run's earlier files.

    TensorBoard reads the files of a run in the order of their names, and drops what a later one
    says again. A second is too coarse: a run may be opened twice within one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time_ns()
    name = (
        f"events.out.tfevents.{now // 10**9:010d}.{socket.gethostname()}.{now:020d}.{os.getpid()}"
    )
    return io.FileIO(folder / name, "a")


def _record(event: event_pb2.Event) -> bytes:
    event.wall_time = time.time()
    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString())
    return buffer.getvalue()


def _write_whole(stream: io.FileIO, content: bytes) -> None:
    while content:  # a disk that becomes full takes a part of it first
        content = content[stream.write(content) or 0 :]
