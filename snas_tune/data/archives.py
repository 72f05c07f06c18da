"""A tar or zip file of class folders as a source; it is read without being extracted."""

from __future__ import annotations

import posixpath
import re
import stat
import tarfile
import zipfile
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from snas_tune.data.bounds import Tar, open_zip
from snas_tune.data.collect import gather_files, images_of
from snas_tune.data.entries import Entries, parts_of
from snas_tune.data.found import OUTSIDE, REPEATED, SPECIAL, shown
from snas_tune.data.images import ImageSet
from snas_tune.data.request import Request
from snas_tune.data.tree import grow
from snas_tune.files import first_line

SUFFIXES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2"),
    ".zip",
)
"""Files that are taken for archives."""

OUTWARD = re.compile(r"/|[A-Za-z]:/")
"""The beginning of an absolute name, on any system."""

BLOCK = 1 << 20
"""Bytes that are decompressed at a time."""


def is_archive(path: Path) -> bool:
    """Whether it is an archive, by its name."""
    return path.name.lower().endswith(SUFFIXES)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn any error of a reader of archives into one line that names the path.

    Raises:
        ValueError: in place of any of these.
    """
    try:
        yield
    except Exception as error:  # their parsers raise whatever they trip over
        raise ValueError(
            f"archive must be a whole tar or zip file, got {path} ({first_line(error)})"
        ) from error


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar file, compressed or not, that is read to its end when the context is left.

    Compressors put their checksum there, and ``tarfile`` stops before it.

    Raises:
        tarfile.TarError: it is damaged. Decompressors raise errors of their own, too.
    """
    with Tar.open(path) as tar:
        yield tar
        tar.getmembers()
        while tar.fileobj is not None and tar.fileobj.read(BLOCK):
            pass


def tar_files(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each regular file, in the order of the archive."""
    for member in archive:
        stream = archive.extractfile(member) if member.isreg() else None
        if stream is not None:
            yield member.name, stream


class Member(NamedTuple):
    """One file of an archive."""

    name: str
    """As it is read: with ``/``, relative, without empty components and dots."""

    place: int
    """Where its content lies in the archive: a hard link has the place of its target."""

    entry: zipfile.ZipInfo | tarfile.TarInfo


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """The files of an archive by name, and all its names."""

    members: dict[str, Member]
    entries: Entries


def listed(path: Path) -> Listed:
    """List an archive, which is read once to its end for its checksums.

    Of two files of one name the last one counts, as it does when the archive is extracted. Names
    that lead out of the archive, symbolic links, hard links to no earlier file, and devices are
    left out.

    Raises:
        ValueError: it cannot be read.
    """
    with readable(path):
        if path.suffix.lower() == ".zip":
            with open_zip(path) as zipped:
                damaged = zipped.testzip()
                found = zipped.infolist()
            if damaged is not None:
                raise zipfile.BadZipFile(f"{shown(damaged)} is damaged")
            return _sorted_out(
                (one.filename.replace("\\", "/"), one.is_dir(), one.header_offset, one)
                for one in found
            )
        with open_tar(path) as tar:
            members = tar.getmembers()
        of_windows = not any("/" in one.name for one in members)
        return _sorted_out(
            (
                one.name.replace("\\", "/") if of_windows else one.name,
                one.isdir(),
                meant.offset,
                meant,
            )
            for one, meant in _resolved(members)
        )


def _resolved(
    members: Iterable[tarfile.TarInfo],
) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarInfo]]:
    """Each member, and the one whose content it has: of a hard link the file that it names.

    That must come before the link, as it must where the archive is extracted. A link that names
    none is given as it is.
    """
    before: dict[str, tarfile.TarInfo] = {}
    for one in members:
        meant = before.get(posixpath.normpath(one.linkname), one) if one.islnk() else one
        before[posixpath.normpath(one.name)] = meant
        yield one, meant


def _sorted_out(
    found: Iterable[tuple[str, bool, int, zipfile.ZipInfo | tarfile.TarInfo]],
) -> Listed:
    members: dict[str, Member] = {}
    folders: list[str] = []
    left_out: dict[str, list[str]] = {}
    for raw, folder, place, entry in found:
        name = "/".join(parts_of(raw))
        if OUTWARD.match(raw) or ".." in parts_of(raw):
            left_out.setdefault(OUTSIDE, []).append(raw)
        elif folder or raw.endswith("/"):
            folders.append(name)
        elif not _is_file(entry):
            left_out.setdefault(SPECIAL, []).append(raw)
        else:
            if name in members:
                left_out.setdefault(REPEATED, []).append(name)
            members[name] = Member(name, place, entry)
    return Listed(members, Entries(list(members), folders, left_out))


def _is_file(entry: zipfile.ZipInfo | tarfile.TarInfo) -> bool:
    if isinstance(entry, tarfile.TarInfo):
        return entry.isreg()
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind in (0, stat.S_IFREG)


@dataclass(frozen=True, slots=True)
class Archive:
    """The source of one archive."""

    path: Path

    def check(self, request: Request) -> None:
        """List the images and read the checksums; no image is decoded."""
        grow(self.path, listed(self.path).entries, train=request.train)

    def files(self, request: Request) -> list[Path]:
        """The archive itself."""
        return [self.path]

    def read(self, request: Request) -> ImageSet:
        """Decode all images.

        Raises:
            ValueError: the archive or an image cannot be read; see also
                :func:`~snas_tune.data.tree.grow`.
        """
        found = listed(self.path)
        tree = grow(self.path, found.entries, train=request.train)
        rows: dict[int, list[int]] = {}
        for row, name in enumerate(tree.files):
            rows.setdefault(found.members[name].place, []).append(row)
        items = (
            (row, f"{self.path}/{tree.files[row]}", content)
            for place, content in _contents(self.path, rows)
            for row in rows[place]
        )
        return images_of(tree, gather_files(items, len(tree.files), request), request)


def _contents(path: Path, places: Container[int]) -> Iterator[tuple[int, bytes]]:
    """Place and content of each wanted file, in one pass."""
    with readable(path):
        if path.suffix.lower() == ".zip":
            with open_zip(path) as zipped:
                for info in zipped.infolist():
                    if info.header_offset in places:
                        yield info.header_offset, zipped.read(info)
        else:
            with open_tar(path) as tar:
                for member in tar:
                    stream = tar.extractfile(member) if member.offset in places else None
                    if stream is not None:
                        yield member.offset, stream.read()
