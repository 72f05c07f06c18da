"""A file of ``torch.save`` that a stranger may have written, or that a disk changed.

torch reads it without a look at the checksums that it wrote: a flipped bit becomes another weight.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from snas_tune.files import open_bounded
from snas_tune.zips import check_directory

MOST_BYTES = 1 << 32
"""Most bytes of a file; that of a supernet of the paper's size has 16 MiB."""

MOST_LISTED = 1 << 24
"""Most bytes of its list of tensors."""

MOST_PICKLE = 1 << 26
"""Most bytes of the part that says how the tensors belong together."""


@contextmanager
def open_stored(path: Path) -> Iterator[IO[bytes]]:
    """A file of ``torch.save``, open at its start; its checksums are right.

    Raises:
        ValueError: it is damaged, too large, or of another kind; the line does not name it.
        OSError: it cannot be read.
    """
    with open_bounded(path, MOST_BYTES) as stream:
        try:
            check_directory(stream, MOST_LISTED)
            with zipfile.ZipFile(stream) as archive:
                _check_entries(archive, stream.seek(0, 2))
                damaged = archive.testzip()
        except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"it is no whole file of torch.save ({error})") from error
        if damaged is not None:
            raise ValueError(f"it is damaged: the checksum of {damaged!r} is another")
        stream.seek(0)
        yield stream


def _check_entries(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse entries that torch does not write: they would be larger once they are read."""
    entries = archive.infolist()
    names = {entry.filename for entry in entries}
    if len(names) < len(entries):
        raise ValueError("its tensors must have different names")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its tensors must not be compressed")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its tensors must not be longer than the file")
    for entry in entries:
        if entry.filename.endswith(".pkl") and entry.file_size > MOST_PICKLE:
            raise ValueError(f"{entry.filename!r} must have at most {MOST_PICKLE} bytes")
