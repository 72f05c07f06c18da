"""Zip files that somebody else may have written: how much there is to read, before it is read."""

from __future__ import annotations

from typing import IO

_END, _END_64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
"""The marks of the end record, of its form for large files, and of the record that says where."""

_END_BYTES, _END_64_BYTES, _LOCATOR_BYTES = 22, 56, 20

_MOST_COMMENT = 1 << 16
"""Bytes that may stand behind the end record."""


def check_directory(stream: IO[bytes], most: int) -> None:
    """Refuse a zip file whose list of entries is too long: ``zipfile`` reads all of it at once.

    Args:
        stream: the file; it is at its start afterwards.
        most: bytes of the list; an entry takes 46 and its name.

    Raises:
        ValueError: the list is longer.
    """
    end = stream.seek(0, 2)
    records = _END_BYTES + _LOCATOR_BYTES + _END_64_BYTES
    stream.seek(max(0, end - _MOST_COMMENT - records))
    tail = stream.read()
    stream.seek(0)
    small = _number(tail, tail.rfind(_END), _END, 12, 4)
    size = max(
        0 if small == 0xFFFFFFFF else small,  # which says that the other record has it
        _number(tail, tail.rfind(_END_64), _END_64, 40, 8),
    )
    place = tail.rfind(_LOCATOR)
    if place >= 0:
        stream.seek(min(_number(tail, place, _LOCATOR, 8, 8), end))
        size = max(size, _number(stream.read(_END_64_BYTES), 0, _END_64, 40, 8))
        stream.seek(0)
    if size > most:
        raise ValueError(f"its list of entries must have at most {most} bytes, got {size}")


def _number(content: bytes, place: int, mark: bytes, offset: int, width: int) -> int:
    """The number at an offset of a record; 0 if the record is not at the place."""
    if place < 0 or content[place : place + len(mark)] != mark:
        return 0
    return int.from_bytes(content[place + offset : place + offset + width], "little")
