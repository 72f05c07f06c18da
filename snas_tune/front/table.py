"""The front file: one Parquet file with a row for every child network that a sweep has seen.

The schema is versioned; docs/front_format.md describes the columns and their units. There is no
wall-clock column, so the same searches give the same contents.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from snas_tune.architecture import upgraded_json
from snas_tune.checks import check_value, is_instance
from snas_tune.files import first_line, read_json
from snas_tune.front.storage import STORAGE_ERRORS, read_whole
from snas_tune.front.whole import (
    MOST_BYTES,
    check_architectures,
    check_claims,
    check_values,
    check_whole,
    digest_of,
    read_columns,
)
from snas_tune.results import ARCHITECTURE

FORMAT = 2
"""Version of the schema. A reader refuses a newer one."""

FORMAT_KEY = b"snas_tune.format"
"""Where the Parquet metadata holds the version."""

FILE_NAME = "front.parquet"
"""The name of the front file in the directory of an experiment."""

KEY = ("trial", "epoch")
"""The columns that identify a row, and by which rows are sorted."""

SCHEMA = pa.schema(
    [
        pa.field("trial", pa.string(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("child_accuracy", pa.float64(), nullable=False),
        pa.field("accuracy", pa.float64(), nullable=False),
        pa.field("flops", pa.int64(), nullable=False),
        pa.field("params", pa.int64(), nullable=False),
        pa.field("params_with_dead", pa.int64(), nullable=False),
        pa.field("memory", pa.int64(), nullable=False),
        pa.field("latency_ms", pa.float64(), nullable=False),
        pa.field("expected_flops", pa.float64(), nullable=False),
        pa.field("entropy", pa.float64(), nullable=False),
        pa.field("temperature", pa.float64(), nullable=False),
        pa.field("cross_entropy", pa.float64(), nullable=False),
        pa.field("penalty_strength", pa.float64(), nullable=False),
        pa.field("temperature_schedule", pa.string(), nullable=False),
        pa.field("temperature_start", pa.float64(), nullable=False),
        pa.field("temperature_end", pa.float64(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field(ARCHITECTURE, pa.string(), nullable=False),
        pa.field("config", pa.string(), nullable=False),
        pa.field("checkpoint", pa.string(), nullable=True),
    ],
    metadata={FORMAT_KEY: str(FORMAT).encode()},
)
"""The columns of version 2. NaN in a float column says: not measured."""

GENOTYPE = "genotype"
"""The column of version 1 in which :data:`snas_tune.results.ARCHITECTURE` now is."""

Key = tuple[str, int]

_INT64 = np.iinfo(np.int64)


def rows_to_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table of :data:`SCHEMA`, sorted by trial and epoch.

    Args:
        rows: every column in each; ``checkpoint`` may be None. Of rows with the same trial and
            epoch the last one counts.

    Raises:
        ValueError: a column is missing, unknown, or holds a value of another type.
    """
    return _table_of(latest_rows(rows))


def check_columns(schema: pa.Schema, wanted: pa.Schema = SCHEMA) -> None:
    """Refuse a table that does not have the columns of :data:`SCHEMA`, or of another schema.

    Raises:
        ValueError: a column is missing, unknown, or of another type; the first such one is named.
    """
    for field in wanted:
        index = schema.get_field_index(field.name)
        if index < 0:
            raise ValueError(f"column {field.name} must be there, got none")
        if schema.field(index).type != field.type:
            raise ValueError(
                f"column {field.name} must be {field.type}, got {schema.field(index).type}"
            )
    for name in schema.names:
        if name not in wanted.names:
            raise ValueError(f"column {name} is none of the front's columns")


def row_settings(row: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the search of a row, by name.

    Raises:
        ValueError: its ``config`` is no JSON object.
    """
    try:
        settings = read_json(row["config"])
        if not isinstance(settings, dict):
            raise ValueError(f"it is a {type(settings).__name__}")
    except ValueError as error:
        place = " ".join(f"{name} {row[name]}" for name in KEY)
        raise ValueError(
            f"config of {place} must be a JSON object of settings, got none ({first_line(error)})"
        ) from error
    return settings


def latest_rows(rows: Iterable[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Checked rows by trial and epoch; of equal keys the last one."""
    checked = map(_checked_row, rows)
    return {(row["trial"], row["epoch"]): row for row in checked}


def _table_of(rows: Mapping[Key, Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema=SCHEMA)


def merged_rows(
    table: pa.Table, keys: Sequence[Key], newer: Mapping[Key, Mapping[str, Any]]
) -> tuple[pa.Table, list[Key]]:
    """A table with more rows, in the place of those with the same key; and all keys in order.

    Rows that stay are copied as a block, not one by one.

    Args:
        table: sorted by key.
        keys: its keys.
        newer: the rows that are added.
    """
    fresh = _table_of(newer)
    pieces, merged = [], list[Key]()
    old, new = 0, 0  # rows of either table that are in the pieces
    for place, key in enumerate(sorted(newer)):
        end = bisect_left(keys, key, old)
        if end > old:
            pieces += [fresh.slice(new, place - new), table.slice(old, end - old)]
            merged += keys[old:end]
            new = place
        merged.append(key)
        old = end + (end < len(keys) and keys[end] == key)
    pieces += [fresh.slice(new), table.slice(old)]
    # One chunk, so that the file depends on the rows and not on the number of adds.
    return pa.concat_tables(pieces).combine_chunks(), [*merged, *keys[old:]]


def keys_of(table: pa.Table) -> list[Key]:
    """The trial and epoch of each row."""
    return list(zip(*(table[name].to_pylist() for name in KEY), strict=True))


def read_front(store: fs.FileSystem, inside: str, path: str) -> tuple[pa.Table, str]:
    """The rows of a front file itself, a table of :data:`SCHEMA`, and the digest of its bytes.

    Raises:
        ValueError: the file is not there, is not a front file, or is of a newer format.
    """
    if kind_of(store, inside, path) != fs.FileType.File:
        raise ValueError(f"front file {path} must be a file, got none there")
    try:
        opened = store.open_input_file(inside)
    except STORAGE_ERRORS as error:
        raise unreadable(path, error) from error
    with opened as source:
        try:
            content = read_whole(source, MOST_BYTES)
            digest = check_whole(content)
            parquet = pq.ParquetFile(pa.BufferReader(content))
            version = _version(parquet.schema_arrow.metadata)
            if version <= FORMAT:
                check_claims(parquet.metadata, digest)
                names = _names(version)
                check_columns(parquet.schema_arrow, _renamed(names))
                columns = read_columns(content, _renamed(names)).columns
                table = pa.Table.from_arrays(columns, schema=SCHEMA)
                check_values(table, KEY)
                if not digest:  # of an older version, in which a flipped bit is not known
                    check_architectures(table[ARCHITECTURE])
                table = _with_spaces(table) if version == 1 else table
                return table, digest_of(content)
        except (*STORAGE_ERRORS, ValueError) as error:
            raise ValueError(f"{path} is not a front file: {first_line(error)}") from error
    raise ValueError(f"front file {path} has format {version}; this snas_tune reads up to {FORMAT}")


def _renamed(names: Sequence[str]) -> pa.Schema:
    """:data:`SCHEMA` with other names."""
    return pa.schema(field.with_name(name) for field, name in zip(SCHEMA, names, strict=True))


def kind_of(store: fs.FileSystem, inside: str, path: str) -> fs.FileType:
    """Whether the path holds a file, a directory or nothing."""
    try:
        return store.get_file_info(inside).type
    except STORAGE_ERRORS as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: BaseException) -> ValueError:
    """The one line of a front file that cannot be read."""
    return ValueError(f"front file {path} cannot be read: {first_line(error)}")


def _names(version: int) -> list[str]:
    """The names of the columns in a file of a version, in the order of :data:`SCHEMA`."""
    renamed = {ARCHITECTURE: GENOTYPE} if version == 1 else {}
    return [renamed.get(name, name) for name in SCHEMA.names]


def _with_spaces(table: pa.Table) -> pa.Table:
    """The rows of version 1 with the architectures that this version writes for them."""
    texts = table[ARCHITECTURE].to_pylist()
    upgraded = {text: upgraded_json(text) for text in dict.fromkeys(texts)}
    place = SCHEMA.get_field_index(ARCHITECTURE)
    column = pa.array([upgraded[text] for text in texts], pa.string())
    return table.set_column(place, SCHEMA.field(place), column)


def _version(metadata: Mapping[bytes, bytes] | None) -> int:
    text = (metadata or {}).get(FORMAT_KEY)
    if text is None:
        raise ValueError(f"its metadata has no {FORMAT_KEY.decode()}")
    if not text[:9].isdigit() or len(text) > 9 or int(text) < 1:
        raise ValueError(f"its {FORMAT_KEY.decode()} must be a version, got {text[:40]!r}")
    return int(text)


def _checked_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of plain Python values in the order of the schema."""
    check_value("front rows", row, is_instance(Mapping, words="values by name of the column"))
    for name in row:
        if name not in SCHEMA.names:
            raise ValueError(f"front row has unknown column {name}")
    for name in SCHEMA.names:
        if name not in row:
            raise ValueError(f"front row must have column {name}, got none")
    return {field.name: _checked_value(field, row[field.name]) for field in SCHEMA}


def _checked_value(field: pa.Field, value: Any) -> Any:
    """The value as str, int or float; NumPy's numbers are taken, bools and numeric text are not."""
    if value is None and field.nullable:
        return None
    if isinstance(value, str) and field.type == pa.string():
        return str(value)
    if isinstance(value, Real) and not isinstance(value, bool):
        if field.type == pa.float64():
            return float(value)
        if (
            field.type == pa.int64()
            and isinstance(value, Integral)
            and _INT64.min <= int(value) <= _INT64.max
        ):
            return int(value)
    raise ValueError(f"front column {field.name} must be {field.type}, got {value!r}")
