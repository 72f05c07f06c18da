"""Images in memory: the set that every source gives, and how one image is brought to its form."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from snas_tune.data.found import Found
from snas_tune.files import first_line

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

GREY_MODES = ("1", "L", "LA", "La")
"""Pillow's modes without colour; 16-bit grey (``I...``) comes on top."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """Labelled images of one size, undistorted and unnormalised."""

    images: Pixels
    """uint8, shape (N, C, H, W)."""

    labels: Labels
    """int64, shape (N,): indices into ``classes``."""

    classes: tuple[str, ...]
    """The names of the classes."""

    validation: Flags | None = None
    """bool, shape (N,): the images that the source itself names as validation images, as in a
    folder ``val/``; None where it names none."""

    found: Found | None = None
    """What was read and what was left out; every source of :func:`snas_tune.data.load` says it."""

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                "images must be uint8 of shape (N, C, H, W), "
                f"got {self.images.dtype} of shape {self.images.shape}"
            )
        if 0 in self.images.shape[1:]:
            raise ValueError(f"images must have pixels, got shape {self.images.shape}")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be int64 of shape ({len(self.images)},), "
                f"got {self.labels.dtype} of shape {self.labels.shape}"
            )
        if self.validation is not None and (
            self.validation.dtype != np.bool_ or self.validation.shape != self.labels.shape
        ):
            raise ValueError(
                f"validation must be bool of shape ({len(self.images)},), "
                f"got {self.validation.dtype} of shape {self.validation.shape}"
            )
        require_classes(self.classes, self.labels)

    def __len__(self) -> int:
        return len(self.labels)


def require_classes(classes: Sequence[str] | range, labels: Labels, where: str | Path = "") -> None:
    """Refuse labels from which nothing can be learned.

    Args:
        classes: the names of the classes, or their range where labels are their own names.
        labels: shape (N,), indices into ``classes``.
        where: the path or spec that the message names, if any.

    Raises:
        ValueError: no image, a label outside the classes, fewer than two classes that have an
            image, or more classes than images.
    """
    place = f" in {where}" if str(where) else ""
    if not len(labels):
        raise ValueError(f"data must have at least two classes, got no images{place}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise ValueError(
            f"labels must be from 0 to {len(classes) - 1}, "
            f"got {int(labels.min())} to {int(labels.max())}{place}"
        )
    present = np.unique(labels)
    if len(present) < 2:
        only = [str(classes[int(present[0])])]
        raise ValueError(f"data must have at least two classes, got 1 ({only}){place}")
    if len(classes) > len(labels):
        raise ValueError(
            "data must have at least as many images as classes, "
            f"got {len(classes)} classes and {len(labels)} images{place}"
        )


def open_image(source: Path | bytes, name: str, image_size: int | None) -> Image.Image:
    """Decode an image file, turned upright if its EXIF data says how.

    Args:
        source: the file, or its content.
        name: of the image, for errors.
        image_size: the side to which it will be resized; a far larger JPEG is decoded small.

    Raises:
        ValueError: Pillow cannot read it.
    """
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        with image:
            if image_size is not None:
                image.draft("", (2 * image_size, 2 * image_size))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return image
    except Exception as error:  # Pillow's decoders raise whatever their parsing trips over
        raise ValueError(f"image must be readable, got {name} ({first_line(error)})") from error


def fit(image: Image.Image, image_size: int | None, channels: int | None) -> Pixels:
    """An image as uint8 of shape (C, H, W).

    With an ``image_size``, the largest centred square is resized to that side, bilinear and
    antialiased. ``channels`` None gives 1 for a grey image and 3 for any other. Transparency is
    dropped; 16-bit grey keeps its upper 8 bits.

    Raises:
        ValueError: the image holds floats, whose range is unknown.
    """
    image = _plain(image)
    mode = {1: "L", 3: "RGB", None: image.mode}[channels]
    if image.mode != mode:
        image = image.convert(mode)
    if image_size is not None and image.size != (image_size, image_size):
        square = image.crop(_centred_square(image.size))
        image = square.resize((image_size, image_size), Image.Resampling.BILINEAR)
    pixels = np.array(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _plain(image: Image.Image) -> Image.Image:
    """The same in mode L (grey) or RGB."""
    if image.mode == "F":
        raise ValueError("image must hold integers, got floats")
    if image.mode.startswith("I"):  # convert("L") would clip at 255 instead of scaling
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:  # else Pillow warns
        image = image.convert("RGBA")
    mode = "L" if image.mode in GREY_MODES else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _centred_square(size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    side = min(size)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def to_image(pixels: Pixels) -> Image.Image:
    """The Pillow image of uint8 pixels of shape (1, H, W) or (3, H, W)."""
    return Image.fromarray(
        np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    )


def to_bytes(values: npt.NDArray[Any]) -> Pixels:
    """Pixel values as uint8: uint8 as they are, floats from 0 to 1 scaled to 0 to 255.

    Raises:
        ValueError: another type, or floats outside this range.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        raise ValueError(f"pixels must be uint8 or floats from 0 to 1, got {values.dtype}")
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            "pixels must be uint8 or floats from 0 to 1 (not normalised), "
            f"got floats from {values.min():.3g} to {values.max():.3g}"
        )
    scaled: Pixels = np.rint(values * 255).astype(np.uint8)
    return scaled


def channels_first(values: npt.NDArray[Any], *, prefer_first: bool) -> npt.NDArray[Any]:
    """Move the channels of (..., H, W, C) before H and W; (..., C, H, W) stays.

    C is recognised as 1 or 3; where both ends could be C, ``prefer_first`` decides.

    Raises:
        ValueError: neither end can be C.
    """
    first, last = (values.shape[axis] in (1, 3) for axis in (-3, -1))
    if first and (prefer_first or not last):
        return values
    if last:
        return np.moveaxis(values, -1, -3)
    raise ValueError(f"an image must have 1 or 3 channels, got shape {values.shape[-3:]}")
