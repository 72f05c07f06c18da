"""A tar or zip file of class folders as a source; it is read without being extracted."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import IO

from snas_tune.data.gather import gather
from snas_tune.data.images import ImageSet, open_image
from snas_tune.data.request import Request
from snas_tune.data.tree import Tree, grow
from snas_tune.files import first_line

SUFFIXES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2"),
    ".zip",
)
"""Files that are taken for archives."""

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
    except (
        *(tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError),
        *(EOFError, OSError, RuntimeError, NotImplementedError),  # the last two by zipfile
    ) as error:
        raise ValueError(
            f"archive must be a whole tar or zip file, got {path} ({first_line(error)})"
        ) from error


class _Header(tarfile.TarInfo):
    """A member's header. ``tarfile`` alone takes one that is broken for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # its stubs lack the name
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{first_line(error)} at byte {tar.offset}") from error


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar file, compressed or not, that is read to its end when the context is left.

    Compressors put their checksum there, and ``tarfile`` stops before it.

    Raises:
        tarfile.TarError: it is damaged. Decompressors raise errors of their own, too.
    """
    with tarfile.open(path, tarinfo=_Header) as tar:
        yield tar
        tar.getmembers()
        while tar.fileobj is not None and tar.fileobj.read(BLOCK):
            pass


def tar_files(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each regular file, in the order of the archive."""
    for member in archive:
        stream = archive.extractfile(member) if member.isreg() or member.islnk() else None
        if stream is not None:
            yield member.name, stream


def archive_tree(path: Path, *, train: bool) -> Tree:
    """The class folders of an archive, which is read once to its end for its checksums.

    Raises:
        ValueError: it cannot be read; see also :func:`~snas_tune.data.tree.grow`.
    """
    with readable(path):
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as zipped:
                damaged = zipped.testzip()
                names = zipped.namelist()
            if damaged is not None:
                raise zipfile.BadZipFile(f"{damaged} is damaged")
            folders = [name for name in names if name.endswith("/")]
            files = [name for name in names if not name.endswith("/")]
        else:
            with open_tar(path) as tar:
                members = tar.getmembers()
            folders = [member.name for member in members if member.isdir()]
            files = [member.name for member in members if member.isreg() or member.islnk()]
    return grow(path, files, folders, train=train, unwrap=True)


@dataclass(frozen=True, slots=True)
class Archive:
    """The source of one archive."""

    path: Path

    def check(self, request: Request) -> None:
        """List the images and read the checksums; no image is decoded."""
        archive_tree(self.path, train=request.train)

    def files(self, request: Request) -> list[Path]:
        """The archive itself."""
        return [self.path]

    def read(self, request: Request) -> ImageSet:
        """Decode all images.

        Raises:
            ValueError: the archive or an image cannot be read; see also
                :func:`~snas_tune.data.tree.grow`.
        """
        tree = archive_tree(self.path, train=request.train)
        rows = {name: row for row, name in enumerate(tree.files)}
        items = (
            (rows[name], f"{self.path}/{name}", content)
            for name, content in _contents(self.path, rows)
        )
        images = gather(
            items,
            len(rows),
            lambda content, name: open_image(content, name, request.image_size),
            request,
        )
        return ImageSet(images, tree.labels, tree.classes)


def _contents(path: Path, wanted: dict[str, int]) -> Iterator[tuple[str, bytes]]:
    """Plain name and content of each wanted file, in one pass."""
    with readable(path):
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as zipped:
                for name in zipped.namelist():
                    if _plain(name) in wanted:
                        yield _plain(name), zipped.read(name)
        else:
            with open_tar(path) as tar:
                for name, stream in tar_files(tar):
                    if _plain(name) in wanted:
                        yield _plain(name), stream.read()


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))
