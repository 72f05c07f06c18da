"""Many images into one array: decoded by threads, in bounded memory, in the form asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from snas_tune.data.found import EXAMPLES, SKIPPING, numbered
from snas_tune.data.images import READABLE, Pixels, fit
from snas_tune.data.request import Request
from snas_tune.data.split import Indices

T = TypeVar("T")

NOTHING: Mapping[str, str] = MappingProxyType({})

CHUNK = 256
"""Images that are in the hands of the threads at a time."""


class Failed(NamedTuple):
    """In place of an image that cannot be used."""

    reason: str
    """One line with its name."""


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Images in one array, and those that could not be used."""

    images: Pixels
    """uint8, shape (N, C, H, W)."""

    rows: Indices
    """Shape (N,): the rows of the items that these are, ascending."""

    bad: dict[str, str]
    """Of each image that was left out the name and the reason, one line that names it."""

    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
    """Width and height of the smallest and the largest before resizing, where these are known."""


def gather(
    items: Iterable[tuple[int, str, T]],
    count: int,
    picture: Callable[[T, str], Image.Image | Pixels],
    request: Request,
    bad: Mapping[str, str] = NOTHING,
    strict: bool = False,
) -> Gathered:
    """Decode ``count`` images into an array of shape (count, C, H, W).

    All of them are decoded before those that cannot be are named, or left out by
    ``request.bad_images``.

    Args:
        items: row, name and payload of each image; drawn one by one by the calling thread.
        count: number of rows.
        picture: payload and name to the image, of Pillow or of shape (C, H, W); called by several
            threads.
        request: the form, the array and the progress callback.
        bad: names of files that are known to be bad, with the reason.
        strict: the first one that fails is an error, as of arrays, which are all of one kind.

    Raises:
        ValueError: images cannot be decoded, or no size is asked for and two images differ.
    """

    def pixels(item: tuple[int, str, T]) -> Pixels | Failed:
        try:
            image = picture(item[2], item[1])
        except ValueError as error:
            return Failed(str(error))
        try:
            return fit(image, request.image_size, request.channels, request.fit, request.depth)
        except ValueError as error:
            return Failed(f"{error} ({item[1]})")

    rows = _Rows(count, request)
    failed = dict(bad)
    done = 0
    # Pillow decodes and resizes outside the interpreter's lock
    with ThreadPoolExecutor() as pool, _without_warnings():
        for chunk in _chunks(items):
            for (row, name, _), one in zip(chunk, pool.map(pixels, chunk), strict=True):
                if isinstance(one, Failed):
                    if strict:
                        raise ValueError(one.reason)
                    failed[name] = one.reason
                else:
                    rows.put(row, name, one)
            done += len(chunk)
            request.progress(f"decoding {request.spec}", done, count)
    refuse_bad(failed, request)
    return rows.gathered(failed)


def refuse_bad(bad: Mapping[str, str], request: Request) -> None:
    """Name all images that cannot be used, unless they are to be left out.

    Args:
        bad: the reason of each, a line that names it.
        request: says whether they are left out.

    Raises:
        ValueError: there is one; of many the first ten are named.
    """
    if not bad or request.bad_images == "skip":
        return
    reasons = [bad[name] for name in sorted(bad, key=numbered)]
    hint = f"; {SKIPPING}" if reasons[0].startswith(READABLE) else ""
    if len(reasons) == 1:
        raise ValueError(reasons[0] + hint)
    few = "; ".join(reason.removeprefix(f"{READABLE}, got ") for reason in reasons[:EXAMPLES])
    more = f"; and {len(bad) - EXAMPLES:,} more" if len(bad) > EXAMPLES else ""
    raise ValueError(
        f"all images must be readable, got {len(bad):,} that are not: {few}{more}{hint}"
    )


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Without Pillow's warnings: of large images, which are read, and of broken metadata."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


class _Rows:
    """The array under construction; all must have the size of the first image."""

    def __init__(self, count: int, request: Request) -> None:
        self.images = np.empty((0, 1, 0, 0), np.uint8)
        self._count = count
        self._request = request
        self._first = ""
        with _in_memory(count):
            self._good = np.zeros(count, bool)

    def gathered(self, bad: dict[str, str]) -> Gathered:
        """The rows that were put, moved together."""
        kept = np.flatnonzero(self._good)
        if len(kept) < len(self.images):
            for row, old in enumerate(kept):
                self.images[row] = self.images[old]
        return Gathered(self.images[: len(kept)], kept, bad)

    def put(self, row: int, name: str, one: Pixels) -> None:
        if not len(self.images):
            self.images, self._first = self._empty(one), name
        if one.shape[1:] != self.images.shape[2:]:
            (h0, w0), (h1, w1) = self.images.shape[2:], one.shape[1:]
            raise ValueError(
                "images must have one size, or image_size must be passed to resize them, "
                f"got {w0}x{h0} ({self._first}) and {w1}x{h1} ({name})"
            )
        if {len(one), self.images.shape[1]} not in ({len(one)}, {1, 3}):
            raise ValueError(
                f"images must have equally many channels, got {self.images.shape[1]} "
                f"({self._first}) and {len(one)} ({name})"
            )
        if len(one) > self.images.shape[1]:  # colour after grey ones only: their copy turns RGB
            wide = self._empty(one)
            wide[:] = self.images
            self.images = wide
        self.images[row] = one
        self._good[row] = True

    def _empty(self, one: Pixels) -> Pixels:
        with _in_memory(self._count, one.shape):
            return self._request.empty((self._count, *one.shape))


@contextmanager
def _in_memory(count: int, shape: tuple[int, ...] = ()) -> Iterator[None]:
    """Turn an error of an array that is too large into one line.

    Raises:
        ValueError: in place of it.
    """
    try:
        yield
    except (MemoryError, OverflowError) as error:
        each = f" of shape {shape}" if shape else ""
        raise ValueError(f"images must fit into memory, got {count:,}{each}") from error


def fit_arrays(images: Pixels, request: Request) -> Pixels:
    """Bring images of shape (N, C, H, W) to the form asked for."""
    size, channels = request.image_size, request.channels
    if size in (None, images.shape[2]) and size in (None, images.shape[3]):
        if channels in (None, images.shape[1]):
            return images
        if channels == 3 and images.shape[1] == 1:
            return np.repeat(images, 3, axis=1)
    items = ((i, f"image {i}", image) for i, image in enumerate(images))
    return gather(items, len(images), lambda pixels, _: pixels, request, strict=True).images


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
