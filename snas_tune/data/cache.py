"""Decoded images on disk, mapped into memory, so that all processes of a machine share one."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from snas_tune.data.found import Found
from snas_tune.data.images import ImageSet, Pixels
from snas_tune.data.request import Request, Source, answer
from snas_tune.files import first_line, locked, read_bounded, read_json

log = logging.getLogger(__name__)

FORMAT = 2
"""Version of the files and of the decoding; another version is another fingerprint."""


MOST_META = 1 << 28
"""Most bytes of the facts beside the arrays, the names of classes among them."""

VALIDATION = "validation.npy"
"""There where the source names its own validation images."""


def fingerprint(files: Iterable[Path], request: Request) -> str:
    """A hash of all that the decoded images depend on, as 32 hexadecimal digits.

    They depend on the spec, the form asked for, and path, size and time of change of each file.
    """
    facts = [
        f"{FORMAT} {request.spec} {request.train} {request.image_size} {request.channels} "
        f"{request.fit} {request.bits} {request.bad_images}",
        *(_stamp(path) for path in files),
    ]
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def through_cache(source: Source, request: Request, cache_dir: Path) -> ImageSet:
    """Images from ``cache_dir/<fingerprint>``, which is made if it is not there.

    Of processes that want the same, one decodes and the others wait for it. A folder appears only
    when it is complete. Where it cannot be written, one line of the log says so and the images are
    decoded into memory.

    Returns:
        Read-only arrays, mapped into memory. Arrays in memory if the cache cannot be written, or
        if the source does not know the files that its images depend on.

    Raises:
        ValueError: an error of the source; a cache that cannot be read.
    """
    files = source.files(request)
    if files is None:
        return answer(source, request)
    folder = cache_dir / fingerprint(files, request)
    try:
        _ensure(folder, source, request)
    except OSError as error:
        log.warning(
            "the data cache %s cannot be written (%s), so each process decodes %s itself",
            cache_dir,
            first_line(error),
            request.spec,
        )
        return answer(source, request)
    return _open(folder)


def _ensure(folder: Path, source: Source, request: Request) -> None:
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / f"{folder.name}.lock"):
        if not folder.is_dir():
            fill(folder, source, request)


class ArrayFiles:
    """Gives arrays that are files; each in its own, as an earlier one may still be mapped.

    Args:
        folder: where the files are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = self._rows = 0

    def __call__(self, shape: tuple[int, ...]) -> Pixels:
        need, free = math.prod(shape), shutil.disk_usage(self._folder).free
        if need > free:  # a mapped file on a full disk would kill the process without a word
            where = self._folder.parent
            raise OSError(
                errno.ENOSPC, f"{need >> 20} MiB are needed, {free >> 20} are free", str(where)
            )
        self._count += 1
        self._rows = shape[0]
        path = self._folder / f"images-{self._count}.npy"
        return np.lib.format.open_memmap(path, "w+", np.uint8, shape)

    def keep(self, images: Pixels, path: Path) -> None:
        """Move the file of ``images`` to ``path``, or write one; remove the others."""
        last = self._folder / f"images-{self._count}.npy"
        if isinstance(images, np.memmap) and len(images) == self._rows:
            images.flush()
            last.replace(path)
        else:
            np.save(path, images)
        for other in self._folder.glob("images-*.npy"):
            other.unlink()


def fill(folder: Path, source: Source, request: Request) -> None:
    """Decode into a temporary folder, then rename it; a folder that is already there stays.

    Raises:
        ValueError: an error of the source.
        OSError: the folder cannot be written, or the disk is too full.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        files = ArrayFiles(temporary)
        decoded = answer(source, replace(request, empty=files))
        files.keep(decoded.images, temporary / "images.npy")
        np.save(temporary / "labels.npy", decoded.labels)
        if decoded.validation is not None:
            np.save(temporary / VALIDATION, decoded.validation)
        meta = {
            "format": FORMAT,
            "spec": request.spec,
            "train": request.train,
            "image_size": request.image_size,
            "channels": request.channels,
            "classes": list(decoded.classes),
            "fit": request.fit,
            "bits": decoded.bits,
            "listing": decoded.listing,
            "found": None if decoded.found is None else decoded.found.to_dict(),
        }
        (temporary / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
        temporary.chmod(0o755)  # mkdtemp lets only its owner in
        with suppress(OSError):  # where locks do not work another process may have been faster
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open(folder: Path) -> ImageSet:
    try:
        meta = read_json(read_bounded(folder / "meta.json", MOST_META))
        images, labels = (
            np.load(folder / name, mmap_mode="r") for name in ("images.npy", "labels.npy")
        )
        given = folder / VALIDATION
        facts = {
            "bits": meta["bits"],
            "listing": meta["listing"],
            "found": None if meta["found"] is None else Found.from_dict(meta["found"]),
            "validation": np.load(given) if given.exists() else None,
        }
        return ImageSet(images, labels, tuple(meta["classes"]), **facts)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"cache must be readable, got {folder} ({first_line(error)}); delete it"
        ) from error


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:  # decoding names it with all others that are bad
        return f"{path} {error.errno}"
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
