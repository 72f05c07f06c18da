"""Many images into one array: decoded by threads, in bounded memory, in the form asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from PIL import Image

from snas_tune.data.images import Pixels, fit
from snas_tune.data.request import Request

T = TypeVar("T")

CHUNK = 256
"""Images that are in the hands of the threads at a time."""


def gather(
    items: Iterable[tuple[int, str, T]],
    count: int,
    picture: Callable[[T, str], Image.Image | Pixels],
    request: Request,
) -> Pixels:
    """Decode ``count`` images into an array of shape (count, C, H, W).

    Args:
        items: row, name and payload of each image; drawn one by one by the calling thread.
        count: number of rows.
        picture: payload and name to the image, of Pillow or of shape (C, H, W); called by several
            threads.
        request: the form, the array and the progress callback.

    Raises:
        ValueError: an image cannot be decoded, or no size is asked for and two images differ.
    """

    def pixels(item: tuple[int, str, T]) -> Pixels:
        image = picture(item[2], item[1])
        try:
            return fit(image, request.image_size, request.channels, request.fit, request.depth)
        except ValueError as error:
            raise ValueError(f"{error} ({item[1]})") from error

    rows = _Rows(count, request)
    done = 0
    with ThreadPoolExecutor() as pool:  # Pillow decodes and resizes outside the interpreter's lock
        for chunk in _chunks(items):
            for (row, name, _), one in zip(chunk, pool.map(pixels, chunk), strict=True):
                rows.put(row, name, one)
            done += len(chunk)
            request.progress(f"decoding {request.spec}", done, count)
    return rows.images


class _Rows:
    """The array under construction; all must have the size of the first image."""

    def __init__(self, count: int, request: Request) -> None:
        self.images = np.empty((0, 1, 0, 0), np.uint8)
        self._count = count
        self._request = request
        self._first = ""

    def put(self, row: int, name: str, one: Pixels) -> None:
        if not len(self.images):
            self.images, self._first = self._request.empty((self._count, *one.shape)), name
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
            wide = self._request.empty((self._count, *one.shape))
            wide[:] = self.images
            self.images = wide
        self.images[row] = one


def fit_arrays(images: Pixels, request: Request) -> Pixels:
    """Bring images of shape (N, C, H, W) to the form asked for."""
    size, channels = request.image_size, request.channels
    if size in (None, images.shape[2]) and size in (None, images.shape[3]):
        if channels in (None, images.shape[1]):
            return images
        if channels == 3 and images.shape[1] == 1:
            return np.repeat(images, 3, axis=1)
    items = ((i, f"image {i}", image) for i, image in enumerate(images))
    return gather(items, len(images), lambda pixels, _: pixels, request)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
