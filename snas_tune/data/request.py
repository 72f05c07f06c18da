"""A request for images, and the interface of their sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Protocol, TypedDict

import numpy as np

from snas_tune.checks import CHANNELS, COUNT, FLAG, FUNCTION, at_most, check_fields, choice
from snas_tune.data.depth import Depth
from snas_tune.data.images import ImageSet, Pixels
from snas_tune.data.listing import listing
from snas_tune.data.progress import Progress, silent
from snas_tune.setting_checks import BAD_IMAGES, FITS, MOST_SIDE
from snas_tune.text_checks import PATH, TEXT_PATH


def in_memory(shape: tuple[int, ...]) -> Pixels:
    """Room for images in main memory."""
    return np.empty(shape, np.uint8)


class Form(TypedDict, total=False):
    """The fields of a :class:`Request` that a caller may leave out, see there."""

    image_size: int | None
    channels: int | None
    fit: str
    bits: int | None
    bad_images: str
    download: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which images are wanted, and in which form."""

    spec: Annotated[str, TEXT_PATH]
    """A named source, a path, or ``module:function``."""

    root: Annotated[Path, PATH]
    """Where named sources are looked for and downloaded to."""

    train: Annotated[bool, FLAG] = True
    """The training images, or the test images."""

    image_size: Annotated[int | None, COUNT, at_most(MOST_SIDE)] = None
    """Side in pixels, None for the source's own."""

    channels: Annotated[int | None, CHANNELS] = None
    """1 (grey) or 3 (RGB), None for the source's own. Only arrays may have other numbers."""

    fit: Annotated[str, choice(FITS)] = "crop"
    """How an image comes to a square of ``image_size``."""

    bits: Annotated[int | None, COUNT] = None
    """Of samples with more than 8 bits; those that the largest of all images needs if None."""

    depth: Depth = field(init=False)
    """Scales such samples, and counts their bits where they are not given."""

    listed: Annotated[bool, FLAG] = False
    """Whether names and sizes of the source's files are noted with the images."""

    bad_images: Annotated[str, choice(BAD_IMAGES)] = "error"
    """Images that cannot be read: ``error`` names all of them, ``skip`` leaves them out."""

    download: Annotated[bool, FLAG] = True
    """Whether a named source that is missing may be downloaded."""

    progress: Annotated[Progress, FUNCTION] = silent
    """Told how far a download or a decoding is."""

    empty: Annotated[Callable[[tuple[int, ...]], Pixels], FUNCTION] = in_memory
    """Gives the array into which images are decoded."""

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "depth", Depth(self.bits))


class NoTestImages(ValueError):  # noqa: N818 - it names a lack of the data, not a failure
    """The data are fine but have no test images."""


class NoSuchData(ValueError):  # noqa: N818 - as above
    """Nothing is where the images should be."""


class Source(Protocol):
    """Where images come from. All methods raise ValueError with one line."""

    def check(self, request: Request) -> None:
        """Raise the errors of a request that can be found without decoding all or the network."""

    def files(self, request: Request) -> list[Path] | None:
        """The files that hold the images, downloaded if need be; a cache depends on them.

        None where they cannot be known; such images are not cached.
        """
        ...

    def read(self, request: Request) -> ImageSet:
        """The images in the form that is asked for."""
        ...


def answer(source: Source, request: Request) -> ImageSet:
    """The images of a source, scaled by the bits of them all, with the hash of its files.

    They are decoded a second time where samples have other bits than were assumed.

    Raises:
        ValueError: an error of the source.
    """
    images = source.read(request)
    if request.depth.wrong:
        request = replace(request, bits=request.depth.found)
        images = source.read(request)
    files = source.files(request) if request.listed else None
    return replace(images, bits=request.depth.found, listing=listing(files) if files else "")
