"""The front file that a sweep writes."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from snas_tune.front.both import read_both
from snas_tune.front.recent import Recent
from snas_tune.front.storage import replace_file, resolve
from snas_tune.front.table import (
    SCHEMA,
    Key,
    keys_of,
    latest_rows,
    merged_rows,
)
from snas_tune.front.whole import DIGEST, digest_of, sealed

REPEATED = ["trial", "temperature_schedule", "config"]
"""The columns that are stored as dictionaries: texts that come again and again. A dictionary of
numbers or of architectures costs more time than it saves."""

LEAST, SHARE = 1.0, 0.02
"""While rows are appended the file is replaced after so many seconds, and in at most that share of
the time: what it costs grows with its rows."""


class FrontFile:
    """A front file that one process adds rows to, and that any number of others may read.

    Every :meth:`add` replaces the file as a whole, so a reader sees all rows of an add or none, and
    a writer that dies leaves the last whole file. Earlier rows stay: a resumed sweep adds to them.
    :meth:`append` does so once a second at the most; in between it writes rows beside the file
    (:mod:`snas_tune.front.recent`), where :func:`snas_tune.front.read_table` finds them.

    Args:
        path: of the file, local or a URI (``s3://bucket/sweep/front.parquet``); neither the file
            nor its directory need be there.
        filesystem: as in :func:`snas_tune.front.storage.resolve`.

    Raises:
        ValueError: the path holds something else than a front file, or a front file of a newer
            format, or the storage cannot be read.
    """

    def __init__(self, path: str, filesystem: fs.FileSystem | None = None) -> None:
        self.path = path
        self._filesystem, self._inside = resolve(path, filesystem)
        found = read_both(self._filesystem, self._inside, path)
        self._recent = Recent(
            self._filesystem, self._inside, found.recent.values(), found.digest, found.left
        )
        self._table = found.table
        self._keys = keys_of(self._table)
        self._newer: dict[Key, dict[str, Any]] = {}
        """Rows that are not in the table yet."""
        self._next = 0.0
        """When the file may be replaced again."""

    @property
    def table(self) -> pa.Table:
        """The rows of the file as this process knows them, sorted by trial and epoch."""
        if self._newer:
            self._table, self._keys = merged_rows(self._table, self._keys, self._newer)
            self._newer = {}
        return self._table

    def row(self, trial: str, epoch: int) -> dict[str, Any] | None:
        """A copy of one row, as this process knows it; ``None`` if there is none.

        Its cost hardly depends on how many there are.
        """
        key = trial, epoch
        if key in self._newer:
            return {**self._newer[key]}
        place = bisect_left(self._keys, key)
        if place == len(self._keys) or self._keys[place] != key:
            return None
        found: dict[str, Any] = self._table.slice(place, 1).to_pylist()[0]
        return found

    def read(self) -> pa.Table:
        """The rows of the file now: a table of :data:`SCHEMA`, empty when there is no file.

        Raises:
            ValueError: the path holds something else than a front file, or a front file of a newer
                format, or the storage cannot be read.
        """
        return read_both(self._filesystem, self._inside, self.path).table

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows; one with the trial and epoch of an earlier row replaces it.

        Args:
            rows: as for :func:`rows_to_table`.

        Raises:
            ValueError: as :func:`rows_to_table`; the file is then as it was.
            OSError: the file cannot be written.
        """
        self._replace(latest_rows(rows))

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows at a cost that does not depend on how many there are; see :meth:`add`.

        They are on the disk, or in the object store, when this returns.
        """
        newer = latest_rows(rows)
        if self.due:
            self._replace(newer)
        else:
            self._recent.add(newer.values())
            self._newer |= newer

    @property
    def due(self) -> bool:
        """Whether the file may be replaced again."""
        return time.monotonic() >= self._next

    @property
    def behind(self) -> bool:
        """Whether there are rows beside the file."""
        return self._recent.there

    def settle(self) -> None:
        """Take the rows beside the file into it.

        Raises:
            OSError: the file cannot be written; nothing is lost.
        """
        if self.behind:
            self._replace({})

    def _replace(self, newer: Mapping[Key, dict[str, Any]]) -> None:
        if self.behind and newer:
            # If this process dies before that file is removed, it must not bring older rows back.
            self._recent.add(newer.values())
        start = time.monotonic()
        table, keys = merged_rows(self.table, self._keys, newer)
        buffer = pa.BufferOutputStream()
        marked = table.replace_schema_metadata({**SCHEMA.metadata, **DIGEST})
        pq.write_table(marked, buffer, use_dictionary=REPEATED, write_page_checksum=True)
        content = sealed(buffer.getvalue().to_pybytes())
        # If the next step fails, the front file may have been replaced, or not.
        self._recent.follow(digest_of(content), surely=False)
        replace_file(self._filesystem, self._inside, content)
        self._recent.follow(digest_of(content), surely=True)
        self._table, self._keys = table, keys
        self._recent.clear()
        end = time.monotonic()
        self._next = end + max(LEAST, (end - start) / SHARE)
