"""The front file as bytes that anybody may have written, and a digest that says if any changed.

Parquet's own checksums cover its pages, but not the footer, which says what the pages mean. So the
digest of the file without it lies in the gap that Parquet allows between pages and footer, and the
metadata says that there is one. Any reader of Parquet reads the file as if it were not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from snas_tune.architecture import read_architecture

DIGEST = {b"snas_tune.digest": b"sha256"}
"""What the Parquet metadata holds if there is a digest. Files of 0.2 and before have none."""

MARK = b"snas_tune sha256"
"""The bytes before the digest."""

MAGIC = b"PAR1"
"""The first and the last bytes of any Parquet file."""

MOST_BYTES = 1 << 31
"""Most bytes of a front file, of its pages without compression, and of its texts."""

MOST_ROWS = 10_000_000
"""Most rows of a front file: a few bytes can claim any number."""

_LENGTH = 8
"""Bytes behind the footer: its length and the magic."""

_MARKED = len(MARK) + hashlib.sha256().digest_size


def sealed(parquet: bytes) -> bytes:
    """A Parquet file with a digest of it between pages and footer."""
    place = _footer(parquet)
    return b"".join((parquet[:place], MARK, hashlib.sha256(parquet).digest(), parquet[place:]))


def digest_of(content: bytes) -> str:
    """By which the rows beside a front file know it."""
    return hashlib.sha256(content).hexdigest()


def check_whole(content: bytes) -> bool:
    """Whether a Parquet file has a digest; any change since :func:`sealed` is an error.

    Raises:
        ValueError: it is no whole Parquet file, or its digest is of other bytes.
    """
    place = _footer(content)
    marked = content[max(place - _MARKED, 0) : place]
    if not marked.startswith(MARK):
        return False
    digest = hashlib.sha256(content[: place - _MARKED])
    digest.update(content[place:])
    if digest.digest() != marked[len(MARK) :]:
        raise ValueError("it is damaged: its digest is of other bytes")
    return True


def _footer(content: bytes) -> int:
    """The place of the footer."""
    if len(content) < len(MAGIC) + _LENGTH or not content.startswith(MAGIC):
        raise ValueError("it must begin with the Parquet magic bytes")
    if not content.endswith(MAGIC):
        raise ValueError("it must end with the Parquet magic bytes")
    place = len(content) - _LENGTH - int.from_bytes(content[-_LENGTH:][:4], "little")
    if place < len(MAGIC):
        raise ValueError("its footer is longer than the file")
    return place


def check_claims(metadata: pq.FileMetaData, digest: bool) -> None:
    """Refuse what a footer says of its file, before anything is read.

    Args:
        metadata: of the file.
        digest: whether the file has one.

    Raises:
        ValueError: there should be a digest, or more rows or bytes than a front has.
    """
    if not digest and DIGEST.keys() & (metadata.metadata or {}).keys():
        raise ValueError("it is damaged: its digest is not there")
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
    if rows > MOST_ROWS:
        raise ValueError(f"it must have at most {MOST_ROWS} rows, got {rows}")
    size = sum(group.total_byte_size for group in groups)
    if size > MOST_BYTES:
        raise ValueError(f"its pages must have at most {MOST_BYTES} bytes, got {size}")


def read_columns(content: bytes, schema: pa.Schema) -> pa.Table:
    """The columns of a schema that :func:`check_claims` let pass, in the schema's order.

    Texts are read as dictionaries, because a few bytes can repeat a long text for millions of rows.

    Raises:
        ValueError: the texts are longer than any front's.
    """
    texts = [field.name for field in schema if field.type == pa.string()]
    parquet = pq.ParquetFile(
        pa.BufferReader(content), read_dictionary=texts, page_checksum_verification=True
    )
    table = parquet.read().select(schema.names)
    size = sum(_plain_size(table[name]) for name in texts)
    if size > MOST_BYTES:
        raise ValueError(f"its texts must have at most {MOST_BYTES} bytes, got {size}")
    return pa.table([table[field.name].cast(field.type) for field in schema], names=schema.names)


def check_values(table: pa.Table, key: Sequence[str]) -> None:
    """Refuse rows without a value, with broken texts, or in another order than a sweep's.

    Args:
        table: of the front's schema.
        key: the columns by which rows are sorted.

    Raises:
        ValueError, ArrowException: they are so.
    """
    table.validate(full=True)
    for field in table.schema:
        lacking = table[field.name].null_count
        if lacking and not field.nullable:
            raise ValueError(f"column {field.name} must have a value in each row, lacks {lacking}")
    first, second = (table[name].combine_chunks() for name in key)
    equal = pc.equal(first[1:], first[:-1])
    ascending = pc.if_else(
        equal, pc.greater(second[1:], second[:-1]), pc.greater(first[1:], first[:-1])
    )
    if not pc.all(ascending, min_count=0).as_py():
        raise ValueError(f"rows must be sorted by {' and '.join(key)}, and have each pair once")


def check_architectures(column: pa.ChunkedArray) -> None:
    """Read each architecture of a column.

    Raises:
        ValueError: one cannot be read.
    """
    for text in pc.unique(column).to_pylist():
        read_architecture(text)


def _plain_size(column: pa.ChunkedArray) -> int:
    """The bytes of a column of texts that is a dictionary."""
    return sum(
        pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0
        for chunk in column.chunks
    )
