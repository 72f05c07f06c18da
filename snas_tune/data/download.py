"""Files that are downloaded once; a checksum says whether each is the published one."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snas_tune.data.progress import Progress
from snas_tune.files import first_line, replacing

BLOCK = 1 << 20
TIMEOUT = 30.0
"""Seconds without an answer after which a download is given up."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file at an address."""

    address: str
    md5: str
    """Of the file, in hexadecimal, as its publisher gives it."""

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.rsplit("/", 1)[-1]


def verify(path: Path, remote: Remote) -> None:
    """Refuse a file that is not the published one.

    Raises:
        ValueError: another checksum.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != remote.md5:
        raise ValueError(
            f"checksum of {path} must be md5 {remote.md5}, got {digest.hexdigest()}; "
            f"delete it and fetch {remote.address} anew"
        )


def fetch(remote: Remote, target: Path, progress: Progress) -> None:
    """Download a file; ``target`` appears only when it is whole and has its checksum.

    Raises:
        ValueError: the address cannot be reached, the transfer broke off, or another checksum.
    """
    try:
        with replacing(target) as temporary:
            with temporary.open("wb") as stream:
                got = _transfer(remote, stream.write, progress)
            if got != remote.md5:
                raise _refusal(remote, target, f"a file of md5 {got} instead of {remote.md5}")
    except (OSError, http.client.HTTPException) as error:
        raise _refusal(remote, target, first_line(error)) from error


def _transfer(remote: Remote, write: Callable[[bytes], object], progress: Progress) -> str:
    """Pass the file to ``write``; gives its md5."""
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(remote.address, timeout=TIMEOUT) as answer:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while block := answer.read(BLOCK):
            digest.update(block)
            write(block)
            done += len(block)
            progress(f"downloading {remote.name}", done, total)
    if done < total:
        raise ConnectionError(f"{done} of {total} bytes")
    return digest.hexdigest()


def _refusal(remote: Remote, target: Path, got: str) -> ValueError:
    return ValueError(
        f"{remote.address} must be downloadable, got {got}; else put the file by hand at {target}"
    )
