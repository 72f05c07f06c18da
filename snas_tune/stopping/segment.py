"""One file of a journal as bytes: a head and lines of JSON, each with a checksum.

The checksum of a line (CRC-32, the last key) covers its content, its number in the journal and the
head, so that a line that was changed, moved, or taken from another journal is not read. Files of
format 1 have no checksums.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMAT = 2
"""Version of the files that are written. Format 1 is read as well."""

LOST = "lost"
"""The key of a line that stands for one that could not be read."""

MOST_BYTES = 2**22
"""No file is longer: a line has some hundred bytes."""

Line = dict[str, Any]

_CHECKED = re.compile(rb'(\{.*),"crc":"([0-9a-f]{8})"\}', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Segment:
    """What could be read of a file."""

    head: Line | None
    """``None`` if it cannot be read."""

    lines: list[Line | None]
    """In the place of each line that cannot be read, or was lost before, is ``None``."""

    bad: int
    """How many lines cannot be read, the head among them."""


def encode(head: Mapping[str, Any], start: int, lines: Sequence[Mapping[str, Any] | None]) -> bytes:
    """A whole file.

    Args:
        head: of the journal.
        start: the number of the first line in the journal.
        lines: of the file; ``None`` for one that is lost.
    """
    return _sealed(head, start) + encode_lines(head, start, lines)


def encode_lines(
    head: Mapping[str, Any], start: int, lines: Sequence[Mapping[str, Any] | None]
) -> bytes:
    """Lines to append; arguments as for :func:`encode`, where ``start`` is that of these lines."""
    base = _sum_of(head)
    return b"".join(
        _sealed({LOST: True} if line is None else line, _seed(base, start + i))
        for i, line in enumerate(lines)
    )


def decode(content: bytes, head: Mapping[str, Any], start: int) -> Segment:
    """Read a file.

    A last line without its end was cut off by a crash and is left out, unless all else of it is
    there.

    Args:
        content: of the file.
        head: that of the journal if it is the expected one.
        start: the number of the first line in the journal.
    """
    first, *rows = content.split(b"\n")
    if not rows:
        return Segment(None, [], 0)  # not even the head is whole
    *rows, rest = rows
    known = _opened(first, start)
    found = known or _plain(first)
    if found is not None and found.get("format") == 1:
        lines = [_plain(row) for row in rows]
    else:
        base = _sum_of(known or head)
        lines = [_opened(row, _seed(base, start + i)) for i, row in enumerate(rows)]
        if rest:  # the end of the line is missing, or is none
            seed = _seed(base, start + len(rows))
            last = _opened(rest, seed) or _opened(rest[:-1], seed)
            lines += [] if last is None else [last]
        if known is None and (any(lines) or (found or {}).get("format") == FORMAT):
            found = None  # damaged; its lines, if there are any, are of the expected head
    bad = lines.count(None) + (found is None)
    return Segment(found, [None if line and LOST in line else line for line in lines], bad)


def _sealed(values: Mapping[str, Any], seed: int) -> bytes:
    content = json.dumps(values, separators=(",", ":")).encode()
    return content[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(content, seed)


def _opened(row: bytes, seed: int) -> Line | None:
    """The content of a line; ``None`` if its checksum is another."""
    match = _CHECKED.fullmatch(row)
    if match is None:
        return None
    content = match[1] + b"}"
    if int(match[2], 16) != zlib.crc32(content, seed):
        return None
    return _plain(content)


def _plain(row: bytes) -> Line | None:
    """A line without a checksum."""
    try:
        values = json.loads(row)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _sum_of(head: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(head, separators=(",", ":"), sort_keys=True).encode())


def _seed(base: int, number: int) -> int:
    return zlib.crc32(b"%d" % number, base)
