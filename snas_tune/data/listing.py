"""The list of a source's files as a hash, by which another list is noticed wherever it lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path


def listing(files: Sequence[Path]) -> str:
    """A hash of the names and sizes of files, as 32 hexadecimal digits.

    The folder that holds them all, their order and their times have no part in it.
    """
    places = [path.absolute() for path in files]  # a table may name both kinds
    top = os.path.commonpath(places)
    facts = sorted(f"{os.path.relpath(path, top)} {_size(path)}" for path in places)
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # decoding names it with all others that are bad
        return None
