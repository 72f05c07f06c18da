"""The rows of the last moments, beside a front file that is not replaced for each of them.

Each line is a row, as JSON behind its checksum. A line is never changed; a last one that a crash
cut off is none. When the front file has the rows, this file is removed. So both together hold all
rows at any time, and a row here counts for one of the same trial and epoch there.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyarrow import fs

from snas_tune.front.storage import read_file, replace_file

SUFFIX = ".recent.jsonl"

MOST_BYTES = 1 << 28
"""Most bytes of the file that are read: it is short, as the front file is replaced every second or
in a fiftieth of the time."""

Row = Mapping[str, Any]


def recent_path(inside: str) -> str:
    """Where the rows beside a front file are: ``front.recent.jsonl`` for ``front.parquet``."""
    return inside.removesuffix(".parquet") + SUFFIX


def read_recent(filesystem: fs.FileSystem, inside: str) -> list[dict[str, Any]]:
    """The rows beside a front file, oldest first; none if there is no such file.

    Raises:
        ValueError: the file is damaged, or too long.
        OSError: the storage cannot be read.
    """
    path = recent_path(inside)
    try:
        content = read_file(filesystem, path, MOST_BYTES)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    lines = content.split(b"\n")
    rows = [row for row in map(_decoded, lines) if row is not None]
    # A crash cuts the last line off, or leaves zeros: it is none. Other damage is an error.
    wrong = [line for line in lines[len(rows) : -1] if line.strip(b"\0")]
    if wrong or None in map(_decoded, lines[: len(rows)]) or _decoded(lines[-1][:-1]) is not None:
        raise ValueError(f"{path} is damaged")
    return rows


def _encoded(row: Row) -> bytes:
    text = json.dumps(row, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _decoded(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


class Recent:
    """The writer of the rows beside a front file.

    On a local disk a line is appended, and is on the disk when :meth:`add` returns; elsewhere the
    file is replaced as a whole.

    Args:
        filesystem: as :func:`snas_tune.front.storage.resolve` returns it.
        inside: the front file's path in it.
        rows: those that are there.
    """

    def __init__(self, filesystem: fs.FileSystem, inside: str, rows: Iterable[Row]) -> None:
        self._filesystem = filesystem
        self._path = recent_path(inside)
        self._lines = [_encoded(row) for row in rows]
        self._appending = False
        """Whether the file holds the lines and nothing else, and the next ones may follow."""

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, rows: Iterable[Row]) -> None:
        """Write more rows.

        Raises:
            OSError: the storage does not take them now; the file is as it was.
        """
        newer = [_encoded(row) for row in rows]
        if self._appending:
            self._append(b"".join(newer))
        else:
            replace_file(self._filesystem, self._path, b"".join([*self._lines, *newer]))
        self._lines += newer
        self._appending = isinstance(self._filesystem, fs.LocalFileSystem)

    def _append(self, content: bytes) -> None:
        with io.FileIO(self._path, "a") as stream:
            end = stream.tell()
            try:
                while content:  # a disk that becomes full takes a part of it first
                    content = content[stream.write(content) or 0 :]
                os.fsync(stream.fileno())
            except BaseException:
                self._appending = False  # the next add replaces the file
                with suppress(OSError):
                    os.ftruncate(stream.fileno(), end)
                raise

    def clear(self) -> None:
        """Remove the file, as the front file has its rows.

        Raises:
            OSError: it stays.
        """
        if self._lines:
            if isinstance(self._filesystem, fs.LocalFileSystem):
                Path(self._path).unlink(missing_ok=True)
            else:
                self._filesystem.delete_file(self._path)
        self._lines, self._appending = [], False
