"""Folders that no other user can change: what is kept there may be loaded and believed."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import stat
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

from snas_tune.files import replacing

log = logging.getLogger(__name__)

NAME = "snas_tune"
"""The folder of the caches, in the system's place for caches."""

PRIVATE = 0o700
"""The mode of the folders that are made here."""


def cache_directory() -> Path:
    """The folder of this user's caches, which is made if it is not there.

    It is ``$SNAS_TUNE_CACHE``, or the system's own place. Where another user could change it, or it
    cannot be made, one line of the log says so, and it is a folder of this user alone among the
    temporary ones; where that is none either, a new one that ends with this process.

    Raises:
        OSError: there is no room for temporary files.
    """
    if not hasattr(os, "geteuid"):  # a system without owners, whose place for caches is the user's
        return Path(os.environ.get("SNAS_TUNE_CACHE") or user_cache_path(NAME, appauthor=False))
    for place in (asked_directory, _temporary_directory):
        try:
            return own_directory(place())
        except (OSError, ValueError, RuntimeError) as error:  # the last one where no home is known
            _tell_once(f"a folder for caches is not used: {error}")
    return _of_this_process()


@functools.cache
def _tell_once(line: str) -> None:
    log.warning("%s", line)


def asked_directory() -> Path:
    """The folder that the user or the system asks for.

    Raises:
        ValueError, RuntimeError: it is relative, or the user has no home.
    """
    asked = os.environ.get("SNAS_TUNE_CACHE")
    if asked:
        if not Path(asked).is_absolute():
            raise ValueError(f"SNAS_TUNE_CACHE must be an absolute path, got {asked!r}")
        return Path(asked)
    given = os.environ.get("XDG_CACHE_HOME", "").strip()
    place = user_cache_path(NAME, appauthor=False)
    if given and not place.is_absolute():
        raise ValueError(f"XDG_CACHE_HOME must be an absolute path, got {given!r}")
    if not place.is_absolute() or (not given and place.parts[1] in (".cache", "Library")):
        raise ValueError(f"HOME must be the folder of a user, got {os.environ.get('HOME')!r}")
    return place


def _temporary_directory() -> Path:
    """The folder of this user among the temporary ones, the same in each process.

    Raises:
        ValueError: somebody put a link there.
    """
    path = Path(tempfile.gettempdir()) / f"{NAME}-{os.geteuid()}"
    if path.is_symlink():
        raise ValueError(f"{path} must be a folder, got a link")
    return path


def own_directory(path: Path) -> Path:
    """Make a folder if it is not there, and check that only this user can change what is in it.

    Returns:
        It without links, so that nobody can let it lead elsewhere.

    Raises:
        ValueError: another user owns it or may write to it, or may replace a folder above it.
        OSError: it is no folder and cannot be made one.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE, exist_ok=True)
    real = path.resolve(strict=True)
    status, user = real.stat(), os.geteuid()
    if not stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{real} must be a folder, got a file")
    if status.st_uid != user or status.st_mode & 0o022:
        raise ValueError(
            f"{real} must belong to this user alone (chmod go-w), got {described(status)}"
        )
    # Whoever owns the root of the file system can change all of it anyway.
    trusted = {user, 0, Path(real.anchor).stat().st_uid}
    for folder in real.parents:
        status = folder.stat()
        shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
        if shared or status.st_uid not in trusted:
            raise ValueError(
                f"{folder} above {real.name} must be changed by this user or the system alone, "
                f"got {described(status)}"
            )
    return real


def read_own(path: Path, most: int) -> bytes | None:
    """The content of a file of this user that no other one may write to; None if it is none.

    Args:
        path: in a folder of :func:`cache_directory`.
        most: bytes; a longer file is none.
    """
    try:
        # Neither through a link nor waiting for the writer of a named pipe.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            status = os.fstat(stream.fileno())
            mine = status.st_uid == os.geteuid() and not status.st_mode & 0o022
            regular = stat.S_ISREG(status.st_mode) and status.st_size <= most
            return stream.read(most) if mine and regular else None
    except OSError:
        return None


def write_own(path: Path, content: bytes) -> None:
    """Replace a file by one that :func:`read_own` takes, whatever modes this user's files have.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as partial:
        partial.touch(mode=0o600)
        partial.write_bytes(content)


def described(status: os.stat_result) -> str:
    """Owner and mode of a file in words."""
    return f"owner {status.st_uid} and mode {stat.S_IMODE(status.st_mode):04o}"


@functools.cache
def _of_this_process() -> Path:
    folder = tempfile.mkdtemp(prefix=f"{NAME}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
