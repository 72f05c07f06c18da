"""Archives that a stranger may have made: how large their files become, before they are read."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from snas_tune.files import first_line
from snas_tune.zips import check_directory

MOST_FILE = 1 << 30
"""Most bytes of one file of an archive."""

MOST_GROWTH, ALWAYS = 300, 1 << 30
"""How many times the archive's bytes its files may have, and the bytes that they may always have.
Images hardly shrink in an archive; zeros shrink a thousandfold."""

MOST_LISTED = 1 << 30
"""Most bytes of the list of a zip file: some millions of files."""

MOST_FILES = 5_000_000
"""Most files of a tar file, whose list is its headers."""

MOST_NAME = 1 << 16
"""Most bytes of a name or of other notes on a file."""

NOTES = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
"""Kinds of members that say something of the next one; they are read as a whole."""


def most_bytes(path: Path) -> int:
    """Most bytes that all files of an archive may have."""
    return ALWAYS + MOST_GROWTH * path.stat().st_size


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip file whose files are no larger than images are.

    Raises:
        zipfile.BadZipFile: they are larger, or it is no zip file.
    """
    with path.open("rb") as stream:
        try:
            check_directory(stream, MOST_LISTED)
        except ValueError as error:
            raise zipfile.BadZipFile(first_line(error)) from error
    archive = zipfile.ZipFile(path)
    sizes = [entry.file_size for entry in archive.infolist()]
    try:
        check_sizes(max(sizes, default=0), sum(sizes), most_bytes(path))
    except ValueError as error:
        archive.close()
        raise zipfile.BadZipFile(first_line(error)) from error
    return archive


def check_sizes(largest: int, total: int, most: int) -> None:
    """Refuse files that are larger than images are.

    Raises:
        ValueError: one is, or all of them.
    """
    if largest > MOST_FILE:
        raise ValueError(f"a file in it must have at most {MOST_FILE} bytes, got {largest}")
    if total > most:
        raise ValueError(f"the files in it must have at most {most} bytes, got {total}")


class TooLargeError(tarfile.TarError):
    """Of a tar file; a ``ReadError`` would let ``tarfile`` try other compressions."""


class Header(tarfile.TarInfo):
    """A member's header. ``tarfile`` alone takes one that is broken for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        """As of ``tarfile``, whose next step is to read all notes on a file."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in NOTES and header.size > MOST_NAME:
            raise TooLargeError(
                f"a name in it must have at most {MOST_NAME} bytes, got {header.size}"
            )
        return header

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Header:
        """The next header.

        Raises:
            tarfile.ReadError: it is broken.
            TooLargeError: the files so far are larger than images are.
        """
        try:
            header = super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # its stubs lack the name
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{first_line(error)} at byte {tar.offset}") from error
        if isinstance(tar, Tar):
            tar.note(header)
        return header


class Tar(tarfile.TarFile):
    """A tar file that ends with an error where its files are larger than images are."""

    total, count = 0, 0
    tarinfo = Header

    def note(self, header: tarfile.TarInfo) -> None:
        """Count a member.

        Raises:
            TooLargeError: there are too many, or they are too large.
        """
        self.total, self.count = self.total + header.size, self.count + 1
        try:
            check_sizes(header.size, self.total, most_bytes(Path(str(self.name))))
        except ValueError as error:
            raise TooLargeError(first_line(error)) from error
        if self.count > MOST_FILES:
            raise TooLargeError(f"it must have at most {MOST_FILES} files")
