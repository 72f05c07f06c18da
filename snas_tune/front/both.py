"""A front file and the rows beside it, together: which belong to it, and which count."""

from __future__ import annotations

import json
import sys
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
from pyarrow import fs

from snas_tune.architecture import read_architecture
from snas_tune.front.recent import Left, read_recent, recent_path
from snas_tune.front.storage import STORAGE_ERRORS, resolve
from snas_tune.front.table import (
    SCHEMA,
    Key,
    keys_of,
    kind_of,
    latest_rows,
    merged_rows,
    read_front,
    unreadable,
)
from snas_tune.results import ARCHITECTURE

TRIES = 3
"""How often both are read before rows are taken to be of another front file: a writer may replace
one of them meanwhile, once a second at the most."""

COUNTS = ("epoch", "step", "flops", "params", "params_with_dead", "memory")
"""The columns that are never negative."""

SHARES = ("child_accuracy", "accuracy")
"""The columns of fractions, NaN where not measured."""


@dataclass(frozen=True, slots=True)
class Both:
    """What a front file and the file beside it hold."""

    table: pa.Table
    """All rows, sorted by trial and epoch."""

    digest: str
    """Of the front file; empty if there is none."""

    recent: Mapping[Key, dict[str, Any]]
    """The rows beside it that count for those in it."""

    left: Left
    """What the file beside it is, where its rows do not count."""


def read_both(store: fs.FileSystem, inside: str, path: str, *, needed: bool = False) -> Both:
    """Read a front file and the rows beside it.

    Rows that follow another front file are ignored, with a line unless the front has them.

    Args:
        store: as :func:`snas_tune.front.storage.resolve` returns it.
        inside: the front file's path in it.
        path: for messages.
        needed: whether the front file must be there.

    Raises:
        ValueError: one of them cannot be read.
    """
    for _ in range(TRIES):
        # First, so that rows which the front file takes over in between are there at least.
        follows, recent = _beside(store, inside, path)
        if not needed and kind_of(store, inside, path) == fs.FileType.NotFound:
            table, digest = SCHEMA.empty_table(), ""
        else:
            table, digest = read_front(store, inside, path)
        if not recent or digest in follows:
            return Both(_merged(table, recent, path), digest, recent, Left.NOTHING)
        if _holds(table, recent):
            return Both(table, digest, {}, Left.TAKEN)
    _say_foreign(recent_path(inside))
    return Both(table, digest, {}, Left.FOREIGN)


def read_table(path: str, filesystem: fs.FileSystem | None = None) -> pa.Table:
    """Read a front file.

    Args:
        path: of the file, local or a URI.
        filesystem: as in :func:`snas_tune.front.storage.resolve`.

    Returns:
        A table of :data:`SCHEMA`.

    Raises:
        ValueError: the file is not there, is not a front file, or is of a newer format.
    """
    return read_both(*resolve(path, filesystem), path, needed=True).table


def _beside(
    store: fs.FileSystem, inside: str, path: str
) -> tuple[tuple[str, ...], dict[Key, dict[str, Any]]]:
    try:
        follows, rows = read_recent(store, inside)
        recent = latest_rows(rows)
        for row in recent.values():
            _check_row(row)
    except (*STORAGE_ERRORS, ValueError) as error:
        raise unreadable(path, error) from error
    return follows, recent


def _check_row(row: Mapping[str, Any]) -> None:
    """Refuse values that no search reports.

    Raises:
        ValueError: there is one.
    """
    for name in COUNTS:
        if row[name] < 0:
            raise ValueError(f"{name} must be 0 or more, got {row[name]}")
    for name in SHARES:
        if row[name] < 0 or row[name] > 1:
            raise ValueError(f"{name} must be from 0 to 1, got {row[name]}")
    read_architecture(row[ARCHITECTURE])


def _merged(table: pa.Table, recent: Mapping[Key, Mapping[str, Any]], path: str) -> pa.Table:
    try:
        return merged_rows(table, keys_of(table), recent)[0] if recent else table
    except (pa.ArrowException, ValueError) as error:
        raise unreadable(path, error) from error


def _holds(table: pa.Table, rows: Mapping[Key, Mapping[str, Any]]) -> bool:
    """Whether a front has all rows as they are."""
    keys = keys_of(table)
    for key, row in rows.items():
        place = bisect_left(keys, key)
        if place == len(keys) or keys[place] != key:
            return False
        if json.dumps(table.slice(place, 1).to_pylist()[0]) != json.dumps(row):
            return False
    return True


@cache  # once, however often it is read
def _say_foreign(path: str) -> None:
    sys.stderr.write(f"{path} is ignored: its rows follow another front file\n")
