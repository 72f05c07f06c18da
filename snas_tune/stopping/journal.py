"""The history of a sweep on disk: every report at a rung and its decision, as they happen.

A journal is a directory of files of JSON lines. A line is never changed, and only the last file
grows: on a local disk it is appended to, and a last line that a crash cut off is none; on an object
store, which cannot append, it is replaced as a whole. Files are short, so that both cost the same
however long the sweep is. The first line of a file names its sweep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyarrow import fs

from snas_tune.files import first_line
from snas_tune.front.storage import STORAGE_ERRORS, join, replace_file, resolve

FORMAT = 1
"""Version of the lines. A reader refuses a newer one."""

SEGMENT = 32
"""Lines of a file."""


class Journal:
    """Lines that survive the process that wrote them.

    Args:
        path: the directory, local or a URI; it need not be there.
        head: names the sweep; a reader goes on only with a journal of the same head.
        filesystem: as in :func:`snas_tune.front.storage.resolve`.

    Raises:
        ValueError: the journal on disk cannot be read, or is of a newer format.
    """

    def __init__(
        self, path: str, head: Mapping[str, Any], filesystem: fs.FileSystem | None = None
    ) -> None:
        self._path = path
        self._filesystem, self._inside = resolve(path, filesystem)
        self.head = {"format": FORMAT, **head}
        self.lines: list[dict[str, Any]] = self._read()
        """All lines, oldest first."""
        self._written = len(self.lines)
        self._open: pa.NativeFile | None = None
        """The last file, if lines can be appended to it."""

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line and write it; one that cannot be written now goes with the next one.

        Raises:
            OSError: the storage does not take it now; the line is kept.
        """
        self.lines.append(dict(line))
        self.flush()

    def flush(self) -> None:
        """Write the lines that are not on disk yet.

        Raises:
            OSError: the storage does not take it now.
        """
        while self._written < len(self.lines):
            start = self._written - self._written % SEGMENT
            end = min(start + SEGMENT, len(self.lines))
            stream, self._open = self._open, None  # a write that fails halfway is repeated
            # A decision must not wait for a disk: only full files do.
            full = end == start + SEGMENT
            if stream is not None and not full:
                stream.write(b"".join(map(_encoded, self.lines[self._written : end])))
            else:
                self._replace(start, end, to_disk=full)
                stream = None if full else self._appending(start)
            self._open, self._written = stream, end

    def _replace(self, start: int, end: int, *, to_disk: bool) -> None:
        """Write a file as a whole."""
        content = b"".join(map(_encoded, [self.head, *self.lines[start:end]]))
        replace_file(self._filesystem, self._file(start // SEGMENT), content, to_disk=to_disk)

    def _appending(self, start: int) -> pa.NativeFile | None:
        """A file to append to, unbuffered; ``None`` where the storage cannot."""
        if not isinstance(self._filesystem, fs.LocalFileSystem):
            return None
        return self._filesystem.open_append_stream(self._file(start // SEGMENT))

    def _file(self, segment: int) -> str:
        return join(self._inside, f"journal-{segment:06d}.jsonl")

    def _read(self) -> list[dict[str, Any]]:
        """The lines that are there; none if another head is: the journal then starts anew."""
        lines: list[dict[str, Any]] = []
        try:
            while len(lines) % SEGMENT == 0:
                file = self._file(len(lines) // SEGMENT)
                if self._filesystem.get_file_info(file).type != fs.FileType.File:
                    break
                with self._filesystem.open_input_stream(file) as stream:
                    whole, _, _ = stream.read().decode().rpartition("\n")
                if not whole:  # the machine died before the disk had it
                    break
                head, *rows = map(json.loads, whole.splitlines())
                if head.get("format", FORMAT + 1) > FORMAT:
                    raise ValueError(f"format must be at most {FORMAT}, got {head}")
                if head != self.head or not rows:  # of an earlier sweep
                    break
                lines += rows
        except (*STORAGE_ERRORS, ValueError, AttributeError) as error:
            raise ValueError(
                f"journal {self._path} must be one of this version, got {first_line(error)}"
            ) from error
        return lines


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
