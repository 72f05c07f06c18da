"""The rows of the last moments, beside a front file that is not replaced for each of them.

Each line is a row, as JSON behind its checksum. A line is never changed; a last one that a crash
cut off is none. When the front file has the rows, this file is removed. So both together hold all
rows at any time, and a row here counts for one of the same trial and epoch there.

The first line names the digest of the front file that the rows follow, so that rows of another
sweep, or of an earlier time, are not taken. Where a replacement of the front file was interrupted,
it names both that it may be.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any

from pyarrow import fs

from snas_tune.front.storage import read_file, replace_file

SUFFIX = ".recent.jsonl"

MOST_BYTES = 1 << 28
"""Most bytes of the file that are read: it is short, as the front file is replaced every second or
in a fiftieth of the time."""

FOLLOWS = "follows"
"""The key of the first line."""

Row = Mapping[str, Any]


def recent_path(inside: str) -> str:
    """Where the rows beside a front file are: ``front.recent.jsonl`` for ``front.parquet``."""
    return inside.removesuffix(".parquet") + SUFFIX


class Left(Enum):
    """What lies beside a front file without counting for it."""

    NOTHING = "nothing"

    TAKEN = "taken"
    """Rows that the front file has."""

    FOREIGN = "foreign"
    """Rows that follow another front file."""


def read_recent(
    filesystem: fs.FileSystem, inside: str
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """The digests of the front file that the rows beside it follow, and these rows, oldest first.

    Both are empty if there is no such file.

    Raises:
        ValueError: the file is damaged, or too long.
        OSError: the storage cannot be read.
    """
    path = recent_path(inside)
    try:
        content = read_file(filesystem, path, MOST_BYTES)
    except FileNotFoundError:
        return (), []
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    lines = content.split(b"\n")
    rows = [row for row in map(_decoded, lines) if row is not None]
    # A crash cuts the last line off, or leaves zeros: it is none. Other damage is an error.
    wrong = [line for line in lines[len(rows) : -1] if line.strip(b"\0")]
    if wrong or None in map(_decoded, lines[: len(rows)]) or _decoded(lines[-1][:-1]) is not None:
        raise ValueError(f"{path} is damaged")
    head = rows[0].get(FOLLOWS) if rows else None
    if not isinstance(head, list):
        return (), rows
    return tuple(map(str, head)), rows[1:]


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
        digest: of the front file that they follow.
        left: what else is there. The next step puts a foreign file aside, with a line.
    """

    def __init__(
        self,
        filesystem: fs.FileSystem,
        inside: str,
        rows: Iterable[Row] = (),
        digest: str = "",
        left: Left = Left.NOTHING,
    ) -> None:
        self._filesystem = filesystem
        self._path = recent_path(inside)
        self._lines = [_encoded(row) for row in rows]
        self._follows: tuple[str, ...] = (digest,)
        self._left = left
        self._appending = False
        """Whether the file holds the lines and nothing else, and the next ones may follow."""

    @property
    def there(self) -> bool:
        """Whether there is a file."""
        return bool(self._lines) or self._left is not Left.NOTHING

    def follow(self, digest: str, *, surely: bool) -> None:
        """Name another front file in the first line, from the next step on.

        Args:
            digest: of the front file.
            surely: whether it is there; else it or the one before it is.
        """
        self._follows = (digest,) if surely else (*self._follows, digest)
        self._appending = False

    def add(self, rows: Iterable[Row]) -> None:
        """Write more rows.

        Raises:
            OSError: the storage does not take them now; the file is as it was.
        """
        self._make_room()
        newer = [_encoded(row) for row in rows]
        if self._appending:
            self._append(b"".join(newer))
        else:
            head = _encoded({FOLLOWS: self._follows})
            replace_file(self._filesystem, self._path, b"".join([head, *self._lines, *newer]))
        self._lines += newer
        self._left = Left.NOTHING
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
        self._make_room()
        if self.there:
            if isinstance(self._filesystem, fs.LocalFileSystem):
                Path(self._path).unlink(missing_ok=True)
            else:
                self._filesystem.delete_file(self._path)
        self._lines, self._appending, self._left = [], False, Left.NOTHING

    def _make_room(self) -> None:
        """Put a file of foreign rows aside."""
        if self._left is not Left.FOREIGN:
            return
        kinds = (f"{self._path}.{i}.other" for i in count(1))
        aside = next(
            path
            for path in kinds
            if self._filesystem.get_file_info(path).type == fs.FileType.NotFound
        )
        self._filesystem.move(self._path, aside)
        self._left = Left.NOTHING
        sys.stderr.write(f"{self._path} follows another front file: it is now {aside}\n")
