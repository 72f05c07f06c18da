"""Images in memory: the set that every source gives, and how one image is brought to its form."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from snas_tune.checks import COUNT, MOST_CHANNELS, TITLE, Check, check_fields, is_instance
from snas_tune.data.depth import BYTE, Depth, bits_of
from snas_tune.data.entries import readable_formats
from snas_tune.data.found import Found, shown
from snas_tune.files import first_line

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

AN_ARRAY = is_instance(np.ndarray)
CLASS_NAMES = Check(
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value),
    "a list of texts",
)

READABLE = "image must be readable"
"""The beginning of the error of an image file that cannot be decoded."""

PIXELS = re.compile(r"(\d+) pixels")
"""The number in Pillow's refusal of a large image."""

LARGE = 1 << 25
"""Pixels from which on an image is decoded alone."""

_ONE_AT_A_TIME = threading.Lock()

GREY_MODES = ("1", "L", "LA", "La")
"""Pillow's modes without colour; 16-bit grey (``I...``) comes on top."""

COLOURS = (1, 3)
"""The numbers of channels of a grey and of an RGB image."""

MODES = {None: None, 1: "L", 3: "RGB"}
"""The mode of each number of channels that an image file can be asked for."""

BACKGROUND = 255
"""The brightness of the page behind transparent pixels: white."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """Labelled images of one size, undistorted and unnormalised."""

    images: Annotated[Pixels, AN_ARRAY]
    """uint8, shape (N, C, H, W)."""

    labels: Annotated[Labels, AN_ARRAY]
    """int64, shape (N,): indices into ``classes``."""

    classes: Annotated[tuple[str, ...], CLASS_NAMES]
    """The names of the classes."""

    bits: Annotated[int, COUNT] = BYTE
    """Of a sample in the source's files; the upper 8 are kept, see :mod:`snas_tune.data.depth`."""

    listing: Annotated[str, TITLE] = ""
    """A hash of the names and sizes of the files, where the source has files of the user's."""
    validation: Annotated[Flags | None, AN_ARRAY] = None
    """bool, shape (N,): the images that the source itself names as validation images, as in a
    folder ``val/``; None where it names none."""

    found: Found | None = None
    """What was read and what was left out; every source of :func:`snas_tune.data.load` says it."""

    def __post_init__(self) -> None:
        check_fields(self)
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

    def fingerprint(self) -> str:
        """A hash of shape, labels and list of files, but no pixel, as 32 hexadecimal digits."""
        facts = hashlib.sha256(f"{self.images.shape} {self.bits} {self.listing}".encode())
        facts.update(self.labels.tobytes())
        return facts.hexdigest()[:32]


def require_classes(classes: Sequence[str] | range, labels: Labels, where: str | Path = "") -> None:
    """Refuse labels from which nothing can be learned.

    Args:
        classes: the names of the classes, or their range where labels are their own names.
        labels: shape (N,), indices into ``classes``.
        where: the path or spec that the message names, if any.

    Raises:
        ValueError: no image, a label outside the classes, two classes of one name, fewer than two
            classes that have an image, or more classes than images.
    """
    place = f" in {where}" if str(where) else ""
    if not len(labels):
        raise ValueError(f"data must have at least two classes, got no images{place}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise ValueError(
            f"labels must be from 0 to {len(classes) - 1}, "
            f"got {int(labels.min())} to {int(labels.max())}{place}"
        )
    if not isinstance(classes, range) and len(set(classes)) < len(classes):
        name, times = Counter(classes).most_common(1)[0]
        raise ValueError(
            f"classes must have different names, got {shown(name)} {times} times{place}"
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


def open_image(
    source: Path | bytes,
    name: str,
    image_size: int | None,
    seen: Callable[[tuple[int, int]], None] | None = None,
) -> Image.Image:
    """Decode an image file, turned upright if its EXIF data says how.

    Large images are decoded one at a time, so that many threads do not take as much memory each;
    Pillow refuses those of more than 178 million pixels before it decodes them.

    Args:
        source: the file, or its content.
        name: of the image, for errors.
        image_size: the side to which it will be resized; a far larger JPEG is decoded small.
        seen: called with the width and height of the whole image.

    Raises:
        ValueError: Pillow cannot read it.
    """
    try:
        if isinstance(source, Path) and source.exists() and not source.is_file():
            raise OSError("is no regular file")  # such as a pipe, which would never end
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        image = Image.open(stream, formats=readable_formats())
        with image:
            if seen is not None:
                seen(image.size)
            if image_size is not None:
                image.draft("", (2 * image_size, 2 * image_size))
            with _ONE_AT_A_TIME if math.prod(image.size) > LARGE else nullcontext():
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
            return image
    except UnidentifiedImageError as error:
        raise ValueError(f"{READABLE}, got {shown(name)} (of no kind that is read)") from error
    except Exception as error:  # Pillow's decoders raise whatever their parsing trips over
        reason = _too_large(error) or _broken_link(source, error) or first_line(error)
        raise ValueError(f"{READABLE}, got {shown(name)} ({reason})") from error


def _too_large(error: Exception) -> str:
    """The reason in our words if Pillow refuses so many pixels; else none."""
    if not isinstance(error, Image.DecompressionBombError) or not Image.MAX_IMAGE_PIXELS:
        return ""
    most = f"{2 * Image.MAX_IMAGE_PIXELS // 10**6:,}"
    pixels = PIXELS.search(str(error))
    if pixels is None:
        return f"it has more than {most} million pixels"
    return f"it has {math.ceil(int(pixels[1]) / 10**6):,} million pixels, at most {most} are read"


def _broken_link(source: Path | bytes, error: Exception) -> str:
    """The reason if a link leads to no file, or to itself; else none."""
    gone = isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ELOOP)
    link = isinstance(source, Path) and source.is_symlink()
    return "it is a broken link" if gone and link else ""


def fit(
    image: Image.Image | Pixels,
    image_size: int | None,
    channels: int | None,
    how: str = "crop",
    depth: Depth | None = None,
) -> Pixels:
    """An image as uint8 of shape (C, H, W); docs/data.md has the rule of each kind of file.

    Args:
        image: of Pillow; or pixels of shape (C, H, W), whose channels stay as they are unless they
            are 1 or 3.
        image_size: side to which it is brought, bilinear and antialiased; None keeps its size.
        channels: 1 or 3; None gives 1 for a grey image and 3 for any other.
        how: it becomes square: by its largest centred square (``crop``), as a whole between black
            bands (``pad``), or as a whole with another ratio (``squash``).
        depth: of the source, for samples of more than 8 bits; by this image alone if not given.

    Raises:
        ValueError: floats that are not from 0 to 1, negative samples, or channels that the image
            cannot have.
    """
    if not isinstance(image, Image.Image):
        if len(image) not in COLOURS:
            return _fit_planes(image, image_size, channels, how)
        image = to_image(image)
    image = _plain(image, depth)
    if channels not in MODES:
        raise ValueError(f"channels of image files must be 1 or 3, got {channels}")
    mode = MODES[channels] or image.mode
    if image.mode != mode:
        image = image.convert(mode)
    if image_size is not None and image.size != (image_size, image_size):
        image = _to_square(image, image_size, how)
    pixels = np.array(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _fit_planes(image: Pixels, image_size: int | None, channels: int | None, how: str) -> Pixels:
    """Each channel of an image that is neither grey nor RGB, brought to its form alone."""
    if channels not in (None, len(image)):
        raise ValueError(f"channels must be the {len(image)} of the images, got {channels}")
    return np.concatenate([fit(to_image(plane[None]), image_size, 1, how) for plane in image])


def _plain(image: Image.Image, depth: Depth | None) -> Image.Image:
    """The same in mode L (grey) or RGB."""
    if image.mode == "F":
        return Image.fromarray(to_bytes(np.asarray(image)))
    if image.mode.startswith("I"):  # convert("L") would clip at 255 instead of scaling
        values = np.asarray(image)
        deep = Depth(bits_of(int(values.max()))) if depth is None else depth
        return Image.fromarray(deep.to_bytes(values))
    if image.has_transparency_data:
        return _over_background(image)
    mode = "L" if image.mode in GREY_MODES else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _over_background(image: Image.Image) -> Image.Image:
    """What a page of :data:`BACKGROUND` shows of an image that is transparent in places."""
    grey = image.mode in GREY_MODES
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    page = Image.new("RGBA", image.size, (BACKGROUND,) * 3)
    return Image.alpha_composite(page, image).convert("L" if grey else "RGB")


def _to_square(image: Image.Image, side: int, how: str) -> Image.Image:
    if how == "pad":
        scale = side / max(image.size)
        width, height = (max(1, round(length * scale)) for length in image.size)
        inner = image.resize((width, height), Image.Resampling.BILINEAR)
        square = Image.new(image.mode, (side, side))  # black
        square.paste(inner, ((side - width) // 2, (side - height) // 2))
        return square
    if how == "crop":
        image = image.crop(_centred_square(image.size))
    return image.resize((side, side), Image.Resampling.BILINEAR)


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

    C is an end of 1 or 3; else the end beside which the sides are equal; else the smaller end.
    Where that does not decide, ``prefer_first`` does.

    Raises:
        ValueError: C would be more than :data:`MOST_CHANNELS`.
    """
    first = _channels_are_first(*values.shape[-3:], prefer_first=prefer_first)
    found = values if first else np.moveaxis(values, -1, -3)
    if not 1 <= found.shape[-3] <= MOST_CHANNELS:
        raise ValueError(
            f"an image must have 1 to {MOST_CHANNELS} channels, got shape {values.shape[-3:]}"
        )
    return found


def _channels_are_first(first: int, middle: int, last: int, *, prefer_first: bool) -> bool:
    for at_start, at_end in (
        (first in COLOURS, last in COLOURS),
        (middle == last, first == middle),  # sides
        (first < last, last < first),
    ):
        if at_start != at_end:
            return at_start
        if at_start:
            break
    return prefer_first
