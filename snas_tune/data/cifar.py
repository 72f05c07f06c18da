"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snas_tune.data.archives import Archive, is_archive, open_tar, readable, tar_files
from snas_tune.data.download import Remote, fetch, verify
from snas_tune.data.folder import Folder
from snas_tune.data.gather import fit_arrays
from snas_tune.data.images import ImageSet
from snas_tune.data.request import Request
from snas_tune.files import first_line

SHAPE = (3, 32, 32)

ADMITTED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
"""All that the pickles of CIFAR call; anything else in a file of that name is refused."""


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it calls {module}.{name}") from None


def unpickle(content: bytes, where: str) -> dict[bytes, Any]:
    """A dict of arrays and lists from a pickle; no code of the pickle runs.

    Raises:
        ValueError: it calls anything but NumPy's array constructor, or is no pickle of a dict.
    """
    try:
        value = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # broken pickles raise whatever their opcodes trip over
        raise ValueError(
            f"file must be a pickle of arrays, got {where} ({first_line(error)})"
        ) from error
    if not isinstance(value, dict):
        raise ValueError(f"file must be a pickle of a dict, got {where} ({type(value).__name__})")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Cifar:
    """One of the two data sets, looked for in four forms below the root.

    The folder of the extracted archive; the archive; ``<name>/``, a folder of class folders inside
    ``train/`` and ``test/``; and ``<name>*``, an archive of such a tree. Else it is downloaded.
    """

    name: str
    remote: Remote
    folder: str
    """The folder inside the archive."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    """The files of each part."""

    meta: str
    names: bytes
    labels: bytes
    """The file with the class names, their key, and the key of the labels."""

    def check(self, request: Request) -> None:
        """Look whether it is there, or may be downloaded, and has its checksum."""
        found = self._find(request)
        if found is None:
            self._require_download(request)
        elif isinstance(found, Path):
            self._check_official(found, request)
        else:
            found.check(request)

    def files(self, request: Request) -> list[Path]:
        """The archive, or the files that are read."""
        found = self._obtain(request)
        if not isinstance(found, Path):
            return found.files(request)
        return [found / name for name in self._wanted(request)] if found.is_dir() else [found]

    def read(self, request: Request) -> ImageSet:
        """Read the images.

        Raises:
            ValueError: it is missing and cannot be downloaded, or the files are broken.
        """
        found = self._obtain(request)
        if not isinstance(found, Path):
            return found.read(request)
        self._check_official(found, request)
        contents = self._contents(found, request)
        values = {name: unpickle(content, f"{found}/{name}") for name, content in contents.items()}
        try:
            parts = [values[name] for name in self._wanted(request)[1:]]
            images = np.concatenate([np.asarray(part[b"data"]) for part in parts])
            labels = np.concatenate([np.asarray(part[self.labels], np.int64) for part in parts])
            classes = tuple(name.decode() for name in values[self.meta][self.names])
            images = images.reshape(-1, *SHAPE)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{self.name} must be as published, got {found} ({first_line(error)})"
            ) from error
        return ImageSet(fit_arrays(images, request), labels, classes)

    def _wanted(self, request: Request) -> tuple[str, ...]:
        return (self.meta, *(self.train if request.train else self.test))

    def _find(self, request: Request) -> Path | Folder | Archive | None:
        """The official folder or archive, or the source of a tree of images."""
        for official in (request.root / self.folder, request.root / self.remote.name):
            if official.exists():
                return official
        if (request.root / self.name).is_dir():
            return Folder(request.root / self.name)
        # "cifar10" must not find "cifar100.tar"
        pattern = re.compile(re.escape(self.name) + r"(?!\d).*")
        beside = sorted(request.root.iterdir()) if request.root.is_dir() else []
        trees = [path for path in beside if pattern.fullmatch(path.name) and is_archive(path)]
        return Archive(trees[0]) if trees else None

    def _obtain(self, request: Request) -> Path | Folder | Archive:
        found = self._find(request)
        if found is None:
            self._require_download(request)
            found = request.root / self.remote.name
            fetch(self.remote, found, request.progress)
        return found

    def _require_download(self, request: Request) -> None:
        if not request.download:
            raise ValueError(
                f"{self.name} must be at {request.root / self.remote.name} when downloads are off, "
                f"got no such file; its address is {self.remote.address}"
            )

    def _check_official(self, found: Path, request: Request) -> None:
        if not found.is_dir():
            verify(found, self.remote)
            return
        for name in self._wanted(request):
            if not (found / name).is_file():
                raise ValueError(f"{self.name} must hold {name}, got no such file in {found}")

    def _contents(self, found: Path, request: Request) -> dict[str, bytes]:
        wanted = self._wanted(request)
        if found.is_dir():
            return {name: (found / name).read_bytes() for name in wanted}
        paths = {f"{self.folder}/{name}": name for name in wanted}
        with readable(found), open_tar(found) as tar:
            return {paths[name]: stream.read() for name, stream in tar_files(tar) if name in paths}
