"""Local files that other processes read or write at the same time, and one line of an error."""

from __future__ import annotations

import json
import os
import stat
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from snas_tune.values import shown

SOON, LATE = 10.0, 3600.0
"""Seconds after which a process that waits for a lock says so, and after which it waits no more."""


@contextmanager
def replacing(path: Path, *, to_disk: bool = False, alone: bool = False) -> Iterator[Path]:
    """Replace a file at once: readers see the old one or the whole new one, never a part.

    Gives a path beside it, of the same suffix, to write to. At the end of the block that file is
    renamed over ``path``; after an error it is removed and ``path`` stays. Missing directories are
    created.

    Args:
        path: the file, which need not be there.
        to_disk: wait until the disk has the content. Without, it survives the death of any
            process, but not the death of the machine.
        alone: no other process writes this file at the same time. The path to write to is then
            the same each time, so that the next writer replaces the rest that a killed one left.

    Raises:
        OSError: a directory cannot be made, or the file cannot be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = "" if alone else f".{uuid.uuid4().hex[:12]}"
    temporary = path.with_name(f".{path.stem}{own}.part{path.suffix}")
    try:
        yield temporary
        if to_disk:
            _flush(temporary)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(
    path: Path, content: bytes | str, *, to_disk: bool = False, alone: bool = False
) -> None:
    """Write a file as :func:`replacing` does; a text in UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path, to_disk=to_disk, alone=alone) as temporary:
        temporary.write_bytes(data)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which one process at a time can hold; the others wait.

    They say so after ten seconds, and go on without the lock after an hour.

    The system releases it when the process ends. Nothing is locked where the file cannot be made or
    the file system has no locks: the lock saves work, and files are replaced at once anyway.
    """
    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):
            lock = FileLock(path)
            try:
                stack.enter_context(lock.acquire(timeout=SOON))
            except Timeout:
                sys.stderr.write(f"waiting for another process, which holds {path}\n")
                stack.enter_context(lock.acquire(timeout=LATE))
        yield


def lock_if_free(path: Path) -> Callable[[], object] | None:
    """Take the lock of a file, unless another one holds it, which may be in this process, too.

    The system releases it when the process ends, however it ends; a program that this process
    starts does not keep it.

    Returns:
        What releases it; ``None`` if another one holds it.

    Raises:
        OSError: the file cannot be made, or the file system has no locks.
        NotImplementedError: the file system has no locks.
    """
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock.release


def open_bounded(path: str | Path, most: int) -> IO[bytes]:
    """Open a file to read that somebody else may have written.

    Args:
        path: of a regular file; others, such as a pipe, might never end.
        most: bytes that it may have.

    Raises:
        ValueError: it is no regular file, or has more bytes; the line does not name it.
        OSError: it cannot be read.
    """
    # A named pipe without a writer is opened at once.
    stream = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    try:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it must be a regular file")
        if status.st_size > most:
            raise ValueError(f"it must have at most {most} bytes, got {status.st_size}")
    except BaseException:
        stream.close()
        raise
    return stream


def read_bounded(path: str | Path, most: int) -> bytes:
    """The content of a file that somebody else may have written; errors as :func:`open_bounded`."""
    with open_bounded(path, most) as stream:
        return stream.read(most)


def read_json(content: bytes | str) -> Any:
    """The value of a JSON text that somebody else may have written.

    Raises:
        ValueError: it is none, or its brackets are nested too deep.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("its brackets must not be nested so deep") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it must be a text in UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it must be JSON: {error}") from error


def read_object(content: bytes | str, key: str) -> dict[str, Any]:
    """The value of a JSON text as :func:`read_json` reads it: an object that has a key.

    Raises:
        ValueError: it is none.
    """
    value = read_json(content)
    if not isinstance(value, dict) or key not in value:
        raise ValueError(f"it must be a JSON object with {key}, got {as_json(value)}")
    return value


def as_json(value: object) -> str:
    """A value of JSON for a message, short, and in JSON's words for none and truth."""
    return json.dumps(value) if value is None or isinstance(value, bool) else shown(value)


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type where it has no message."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
