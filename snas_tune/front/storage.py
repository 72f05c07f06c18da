"""Where a front file lies: local paths and object stores, and replacing a file as a whole there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import pyarrow as pa
from pyarrow import fs

from snas_tune.arguments import checked
from snas_tune.checks import check_value, is_instance
from snas_tune.files import first_line, write_whole
from snas_tune.text_checks import STORAGE

STORAGE_ERRORS = (OSError, pa.ArrowException)
"""The errors of pyarrow's file systems."""

OBJECT_STORES = ("s3", "gcs", "abfs")
"""pyarrow's type names of the stores that have no directories."""


FILE_SYSTEM = is_instance(fs.FileSystem)


@checked
def resolve(
    path: str, filesystem: Annotated[fs.FileSystem | None, FILE_SYSTEM] = None
) -> tuple[fs.FileSystem, str]:
    """The file system of a path, and the path inside it.

    Args:
        path: a local path, or a URI (``s3://bucket/name``, ``gs://``, ``file:///``).
        filesystem: used instead of the path's own; the path is then one inside it.

    Raises:
        ValueError: the URI has an unknown scheme, or is none.
    """
    check_value("storage path", path, STORAGE)
    if filesystem is None:
        if "://" not in path:
            return fs.LocalFileSystem(), Path(path).absolute().as_posix()
        try:
            filesystem, path = fs.FileSystem.from_uri(path)
        except STORAGE_ERRORS as error:
            raise ValueError(
                f"storage path must be a local path or a URI that pyarrow knows, got {path} "
                f"({first_line(error)})"
            ) from error
    while isinstance(filesystem, fs.SubTreeFileSystem):  # so that a local one is seen to be local
        path = filesystem.base_path.rstrip("/") + "/" + path.lstrip("/")
        filesystem = filesystem.base_fs
    return filesystem, path


def join(path: str, name: str) -> str:
    """The path of ``name`` below a path as :func:`resolve` takes it: a URI's options stay last."""
    options = ""
    if "://" in path:
        path, mark, rest = path.partition("?")
        options = mark + rest
    return f"{path.rstrip('/')}/{name}{options}"


@checked
def check_writable(
    path: str, filesystem: Annotated[fs.FileSystem | None, FILE_SYSTEM] = None
) -> None:
    """Create a directory, and write and remove a small file in it.

    A sweep calls this before its first trial, so that a wrong path costs no search.

    Args:
        path: the directory, local or a URI.
        filesystem: as in :func:`resolve`.

    Raises:
        ValueError: any of that fails; the one line names the path and the reason.
    """
    store, directory = resolve(path, filesystem)
    # Two sweeps may check the same directory at once.
    probe = f"{directory.rstrip('/')}/.snas_tune_probe_{os.getpid()}"
    try:
        store.create_dir(directory, recursive=True)
        with store.open_output_stream(probe) as stream:
            stream.write(b"probe")
        store.delete_file(probe)
    except STORAGE_ERRORS as error:
        raise ValueError(f"storage path {path} is not writable: {first_line(error)}") from error


def replace_file(
    filesystem: fs.FileSystem,
    path: str,
    content: bytes,
    *,
    to_disk: bool = True,
    alone: bool = True,
) -> None:
    """Replace a file so that a reader sees the old content or the new one, never a part.

    On a local file system :func:`snas_tune.files.write_whole` does it. An object store shows an
    object only when its put is complete, so there it is written directly. Missing directories are
    created.

    Args:
        filesystem: as :func:`resolve` returns it.
        path: inside the file system.
        content: the whole file.
        to_disk: wait until a local disk has it. Without, the content survives the death of any
            process, but not the death of the machine.
        alone: no other process writes this file at the same time; see ``write_whole``.
    """
    if isinstance(filesystem, fs.LocalFileSystem):
        write_whole(Path(path), content, to_disk=to_disk, alone=alone)
        return
    parent = path.rpartition("/")[0]
    if parent and filesystem.type_name not in OBJECT_STORES:
        filesystem.create_dir(parent, recursive=True)
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


def read_file(filesystem: fs.FileSystem, path: str, most: int) -> bytes:
    """The bytes of a file that somebody else may have written.

    Raises:
        ValueError: it is a pipe, which might never end, or a directory, or longer than ``most``.
        OSError: it is not there, or cannot be read.
    """
    if filesystem.get_file_info(path).type not in (fs.FileType.File, fs.FileType.NotFound):
        raise ValueError("it must be a regular file")
    with filesystem.open_input_file(path) as source:
        return read_whole(source, most)


def read_whole(source: pa.NativeFile, most: int) -> bytes:
    """The bytes of an open file.

    Raises:
        ValueError: they are more than ``most``; the line does not name the file.
    """
    if source.size() > most:
        raise ValueError(f"it must have at most {most} bytes, got {source.size()}")
    content: bytes = source.read()
    return content
