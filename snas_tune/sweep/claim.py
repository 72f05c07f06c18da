"""One owner of an experiment at a time: a claim of its directory that a dead process does not hold.

On a local file system the claim is the lock of a file, which the system releases when its process
ends. Object stores, and file systems without locks, have none: there the owner writes its name and
the time into a file every :data:`BEAT` seconds, and another one may take the directory over when
nothing was written for :data:`STALE` seconds.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType

from pyarrow import fs

from snas_tune.files import first_line, lock_if_free, read_json
from snas_tune.front.storage import STORAGE_ERRORS, read_file, replace_file, resolve

OWNER = ".owner"
"""The file that names the owner. Tune copies files called ``.json`` to and fro, so it is not."""

LOCK = ".owner.lock"
"""The file whose lock is the claim."""

MOST_BYTES = 4096
"""No such file is longer."""

BEAT = 20.0
"""Seconds between two writes of an owner that holds no lock."""

STALE = 120.0
"""Seconds without a write after which such an owner counts as dead."""

SETTLE = 2.0
"""Seconds in which of several that claim at the same moment the last one is found."""


Unlock = Callable[[], object]
Place = tuple[fs.FileSystem, str]


class Taken(ValueError):  # noqa: N818 - a name that is taken
    """The name of a sweep belongs to another one."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that runs a sweep."""

    host: str
    pid: int
    since: str
    token: str
    beat: float
    """When it last wrote this, in seconds of its own clock."""

    @staticmethod
    def this() -> Owner:
        """This process, from now on."""
        now = time.time()
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
        return Owner(socket.gethostname(), os.getpid(), since, uuid.uuid4().hex, now)

    @staticmethod
    def read(content: bytes) -> Owner:
        """The process of a file that somebody else may have written.

        Raises:
            ValueError: it names none.
        """
        found = read_json(content)
        if not isinstance(found, dict) or found.keys() != {field.name for field in fields(Owner)}:
            raise ValueError("it must hold the fields of an owner")
        texts = [found[name] for name in ("host", "since", "token")]
        if not all(isinstance(text, str) and text.isprintable() for text in texts):
            raise ValueError("its texts must be printable, as they become one line")
        if type(found["pid"]) is not int or type(found["beat"]) not in (int, float):
            raise ValueError("its numbers must be numbers")
        return Owner(**found)

    def __str__(self) -> str:
        """For a message."""
        return f"process {self.pid} on host {self.host} has run it since {self.since}"


class Claim:
    """An experiment's directory that this process alone has; :func:`claim` makes one.

    Args:
        place: the file system, and the directory in it, which is there.
        owner: this process.
        unlock: releases the lock of its file; ``None`` where the claim is written instead.
        made: the directories that were not there before: this one, and those above it.
    """

    def __init__(
        self, place: Place, owner: Owner, unlock: Unlock | None, made: Sequence[str]
    ) -> None:
        self.lost = ""
        """Who has taken the directory over."""
        self._owner, self._unlock, self._made = owner, unlock, made
        self._store, self._inside = place
        self._ended = threading.Event()
        if unlock is None:
            threading.Thread(target=self._beat, daemon=True).start()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What was refused leaves nothing; what died may be resumed under its name.
        self.release(keep=error is not None and not isinstance(error, ValueError))

    @property
    def name(self) -> str:
        """Of the experiment."""
        return self._inside.rstrip("/").rpartition("/")[2]

    def check(self) -> None:
        """Refuse to go on when another process has taken the directory over.

        Raises:
            ValueError: it has.
        """
        if self.lost:
            raise ValueError(f"sweep {self.name} must have one process, got another: {self.lost}")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            other = _read_owner((self._store, self._inside))
            if other is not None and other.token != self._owner.token:
                self.lost = str(other)
                return
            with suppress(*STORAGE_ERRORS):  # one that is away does not take the claim away
                _write_owner((self._store, self._inside), replace(self._owner, beat=time.time()))

    def release(self, *, keep: bool = False) -> None:
        """Give the directory up.

        Args:
            keep: the directories that were made for this claim, also if they hold nothing.
        """
        if self._ended.is_set():
            return
        self._ended.set()
        with suppress(*STORAGE_ERRORS):
            if not self.lost:
                self._store.delete_file(f"{self._inside}/{OWNER}")
        if self._made and not keep:
            self._remove_if_empty()
        if self._unlock is not None:
            self._unlock()

    def _remove_if_empty(self) -> None:
        with suppress(*STORAGE_ERRORS):
            found = self._store.get_file_info(fs.FileSelector(self._inside))
            if not {info.base_name for info in found} <= {LOCK}:
                return
            if not isinstance(self._store, fs.LocalFileSystem):
                self._store.delete_dir(self._inside)
                return
            Path(self._inside, LOCK).unlink(missing_ok=True)
            for directory in self._made:  # one that holds another sweep stays
                Path(directory).rmdir()


def claim(path: str, filesystem: fs.FileSystem | None = None) -> Claim:
    """Claim an experiment's directory for this process; it is made if it is not there.

    Args:
        path: the directory, local or a URI.
        filesystem: as in :func:`snas_tune.front.storage.resolve`.

    Raises:
        Taken: another process runs this experiment, or this one does already.
        ValueError: the directory cannot be written.
    """
    store, inside = place = resolve(path, filesystem)
    try:
        made = _missing(store, inside)
        store.create_dir(inside, recursive=True)
        if isinstance(store, fs.LocalFileSystem):
            with suppress(NotImplementedError, *_without_locks(inside)):
                return _locked(place, made)
        return _written(place, made)
    except STORAGE_ERRORS as error:
        raise ValueError(f"storage path {path} is not writable: {first_line(error)}") from error


def _missing(store: fs.FileSystem, inside: str) -> list[str]:
    """The directory and those above it, as far as they are not there."""
    found = []
    while inside and store.get_file_info(inside).type == fs.FileType.NotFound:
        found.append(inside)
        inside = inside.rstrip("/").rpartition("/")[0]
    return found


def _without_locks(inside: str) -> tuple[type[OSError], ...]:
    """The errors that mean a file system without locks: any, if the directory can be written."""
    return (OSError,) if os.access(inside, os.W_OK) else ()


def _locked(place: Place, made: Sequence[str]) -> Claim:
    """A claim by the lock of a file."""
    file = Path(place[1], LOCK)
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        unlock = lock_if_free(file)
        if unlock is None:
            raise _taken(place, _read_owner(place))
        if file.exists():
            break
        unlock()  # the owner before removed the directory meanwhile
    owner = Owner.this()
    _write_owner(place, owner)
    return Claim(place, owner, unlock, made)


def _written(place: Place, made: Sequence[str]) -> Claim:
    """A claim by a file that its owner writes again and again."""
    found = _read_owner(place)
    if found is not None:
        if time.time() - found.beat >= STALE:  # or its clock is another one
            time.sleep(1.5 * BEAT)
        if time.time() - found.beat < STALE or _read_owner(place) != found:
            raise _taken(place, found)
    owner = Owner.this()
    _write_owner(place, owner)
    time.sleep(SETTLE)
    found = _read_owner(place)
    if found is None or found.token != owner.token:
        raise _taken(place, found)
    return Claim(place, owner, None, made)


def _taken(place: Place, owner: Owner | None) -> Taken:
    name = place[1].rstrip("/").rpartition("/")[2]
    known = owner or "another process has just begun it"
    return Taken(f"name must be that of a sweep that no process runs, got {name!r}: {known}")


def _read_owner(place: Place) -> Owner | None:
    """The owner that is written there; ``None`` if none can be read."""
    store, inside = place
    try:
        return Owner.read(read_file(store, f"{inside}/{OWNER}", MOST_BYTES))
    except (*STORAGE_ERRORS, ValueError):
        return None


def _write_owner(place: Place, owner: Owner) -> None:
    store, inside = place
    content = json.dumps(asdict(owner)).encode()
    replace_file(store, f"{inside}/{OWNER}", content, to_disk=False, alone=False)
