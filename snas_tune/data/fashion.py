"""Fashion-MNIST (Xiao et al., 2017, https://github.com/zalandoresearch/fashion-mnist)."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snas_tune.data.download import Remote, fetch
from snas_tune.data.gather import fit_arrays
from snas_tune.data.images import ImageSet, Pixels
from snas_tune.data.request import Request
from snas_tune.files import first_line

SYSTEM = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts the files."""

CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

UNSIGNED_BYTES = 8
"""The type code of an idx file."""


def read_idx(path: Path, dimensions: int) -> Pixels:
    """The array of an idx file of unsigned bytes, gzipped or not.

    See http://yann.lecun.com/exdb/mnist/ for the form: two zero bytes, type, number of
    dimensions, each dimension as 4 bytes big-endian, then the values.

    Raises:
        ValueError: it is not such a file, or has another number of dimensions.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"file must be readable, got {path} ({first_line(error)})") from error
    shape = _shape(content, dimensions, path)
    start = 4 + 4 * dimensions
    if len(content) - start != int(np.prod(shape)):
        raise ValueError(
            f"idx file must hold {int(np.prod(shape))} values, got {len(content) - start} in {path}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _shape(head: bytes, dimensions: int, path: Path) -> tuple[int, ...]:
    if len(head) < 4 + 4 * dimensions or head[:4] != bytes([0, 0, UNSIGNED_BYTES, dimensions]):
        raise ValueError(
            f"idx file must hold unsigned bytes in {dimensions} dimensions, "
            f"got a header of {head[:4].hex() or 'nothing'} in {path}"
        )
    return tuple(int(n) for n in np.frombuffer(head, ">u4", count=dimensions, offset=4))


@dataclass(frozen=True, slots=True, kw_only=True)
class FashionMnist:
    """The source ``fashion-mnist``.

    Its files are looked for, with and without ``.gz``, in the root, in ``fashion-mnist/`` and
    ``FashionMNIST/raw/`` below it, and in Debian's place. Those that are missing are downloaded to
    ``fashion-mnist/``.
    """

    train: tuple[Remote, Remote]
    test: tuple[Remote, Remote]
    """Images and labels."""

    system: Path = SYSTEM

    def check(self, request: Request) -> None:
        """Look whether the files are there, or may be downloaded."""
        for remote in self._remotes(request):
            if self._find(remote, request) is None:
                self._require_download(remote, request)

    def files(self, request: Request) -> list[Path]:
        """The file of images and the file of labels."""
        return [self._obtain(remote, request) for remote in self._remotes(request)]

    def read(self, request: Request) -> ImageSet:
        """Read the images.

        Raises:
            ValueError: a file is missing and cannot be downloaded, or is broken.
        """
        images, labels = (
            read_idx(path, dimensions)
            for path, dimensions in zip(self.files(request), (3, 1), strict=True)
        )
        return ImageSet(fit_arrays(images[:, None], request), labels.astype(np.int64), CLASSES)

    def _remotes(self, request: Request) -> tuple[Remote, Remote]:
        return self.train if request.train else self.test

    def _find(self, remote: Remote, request: Request) -> Path | None:
        root = request.root
        for place in (root, root / "fashion-mnist", root / "FashionMNIST" / "raw", self.system):
            for name in (remote.name.removesuffix(".gz"), remote.name):
                if (place / name).is_file():
                    return place / name
        return None

    def _obtain(self, remote: Remote, request: Request) -> Path:
        found = self._find(remote, request)
        if found is None:
            self._require_download(remote, request)
            found = request.root / "fashion-mnist" / remote.name
            fetch(remote, found, request.progress)
        return found

    def _require_download(self, remote: Remote, request: Request) -> None:
        if not request.download:
            raise ValueError(
                f"{remote.name} must be in {request.root / 'fashion-mnist'} when downloads are "
                f"off, got no such file; its address is {remote.address}"
            )
