"""Images as batches of tensors: the data order, augmentation and normalisation.

The order of an epoch and the augmentation of a step follow from (seed, epoch) and (seed, step), so
no state of them is saved. Shapes: ``N`` images in all, ``B`` in a batch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snas_tune.data import ImageSet, split_rows
from snas_tune.training.seeds import generator_for

ALL = slice(None)

BLOCK = 1 << 22
"""Pixels that are measured at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Images on a device: uint8 ``(N, channels, side, side)``, and their labels, ``(N,)``."""

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def side(self) -> int:
        """Side in pixels."""
        return int(self.pixels.shape[-1])

    @property
    def channels(self) -> int:
        """1 (grey), 3 (RGB) or another number."""
        return int(self.pixels.shape[1])

    @staticmethod
    def of(images: ImageSet, device: torch.device, rows: np.ndarray | slice = ALL) -> Images:
        """Some images of a set, or all, on a device; of a memory map only these are read."""
        pixels, labels = (
            np.require(part[rows], requirements=["C", "W"])  # torch's tensors are never read-only
            for part in (np.asarray(images.images), np.asarray(images.labels))
        )
        return Images(
            torch.from_numpy(pixels).to(device),
            torch.from_numpy(labels).to(device),
            tuple(images.classes),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """Brings pixels to mean 0 and deviation 1 by channel; call it with the pixels."""

    mean: Tensor
    """Of the training pixels by channel, in [0, 255]; shape ``(channels, 1, 1)``."""

    deviation: Tensor
    """Standard deviation of the same pixels, at least 1; of the same shape."""

    def __call__(self, pixels: Tensor, channels_last: bool = False) -> Tensor:
        """Normalised images, in the data type of mean and deviation.

        Args:
            pixels: shape ``(B, channels, side, side)``, in [0, 255].
            channels_last: the memory format of the result.
        """
        images = (pixels.to(self.mean.dtype) - self.mean) / self.deviation
        return images.contiguous(memory_format=torch.channels_last) if channels_last else images


@dataclass(frozen=True, slots=True, eq=False)
class SplitImages:
    """Images in a training and a validation part, and the training part's normalisation."""

    train: Images
    validation: Images
    normalise: Normalisation


def split_images(
    images: ImageSet,
    device: torch.device,
    *,
    validation_fraction: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> SplitImages:
    """Split images, stratified, and measure the training part.

    Args:
        images: any labelled images that are square.
        device: where the parts will lie.
        validation_fraction: share of the validation part, above 0 and below 1; without a say where
            the images name their own validation images.
        seed: fixes the parts, and the subset where there is a limit.
        limit: take a stratified subset of so many images; all of them if not given.
        dtype: of normalised images.

    Raises:
        ValueError: the images are not square, or a part would lack a class.
    """
    require_square(images)
    train, validation = split_rows(
        images.labels,
        images.validation,
        validation_fraction=validation_fraction,
        seed=seed,
        limit=limit,
        classes=images.classes,
    )
    mean, deviation = (
        torch.tensor(values, dtype=dtype, device=device).view(-1, 1, 1)
        for values in _measure(np.asarray(images.images), train)
    )
    return SplitImages(
        Images.of(images, device, train),
        Images.of(images, device, validation),
        Normalisation(mean, deviation),
    )


def require_square(images: ImageSet, where: str = "") -> None:
    """Refuse images that are not square.

    Args:
        images: the images.
        where: the source that the message names, if any.

    Raises:
        ValueError: height and width differ.
    """
    height, width = images.images.shape[-2:]
    if height != width:
        place = f" of {where}" if where else ""
        raise ValueError(f"images{place} must be square, got {height} x {width}: set image_size")


def _measure(pixels: np.ndarray, rows: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (at least 1) by channel of some images, from exact sums."""
    channels = pixels.shape[1]
    sums, squares = [0] * channels, [0] * channels
    step = max(1, BLOCK // pixels[0].size)
    for start in range(0, len(rows), step):
        block = pixels[rows[start : start + step]].astype(np.uint32)
        for c in range(channels):
            sums[c] += int(block[:, c].sum(dtype=np.int64))
            squares[c] += int((block[:, c] * block[:, c]).sum(dtype=np.int64))
    count = len(rows) * pixels[0, 0].size
    spread = [count * b - a * a for a, b in zip(sums, squares, strict=True)]  # Python's integers
    return (
        [a / count for a in sums],
        [max(1.0, math.sqrt(s / (count * count))) for s in spread],
    )


def parts_of(images: int, parts: Sequence[str], seed: int) -> list[Tensor]:
    """The rows of the images of each part: all for one part, else equal shares, drawn once.

    Raises:
        ValueError: there is no part, or a part has no image.
    """
    if isinstance(parts, str) or not parts:
        raise ValueError(f"parts of a method must be names, one or more, got {parts!r}")
    if images < len(parts):
        raise ValueError(f"training images must be {len(parts)} or more, got {images}")
    if len(parts) == 1:
        return [torch.arange(images)]
    order = torch.randperm(images, generator=generator_for(seed, "parts", 0))
    share = images // len(parts)
    return list(order[: share * len(parts)].split(share))


def steps_per_epoch(images: int, batch_size: int) -> int:
    """How many whole batches an epoch of training images has.

    Raises:
        ValueError: they do not fill one batch.
    """
    if images < batch_size:
        raise ValueError(
            f"batch_size must be at most the {images} training images, got {batch_size}"
        )
    return images // batch_size


def batch_indices(
    images: int, batch_size: int, seed: int, step: int, stream: str = "order"
) -> Tensor:
    """Which images the batch of step ``step`` holds: whole batches of one permutation an epoch.

    Returns:
        Shape ``(batch_size,)``. The rest that does not fill a batch differs from epoch to epoch.

    Raises:
        ValueError: as :func:`steps_per_epoch`.
    """
    steps = steps_per_epoch(images, batch_size)
    start = step % steps * batch_size
    return _order(images, seed, step // steps, stream)[start : start + batch_size]


@functools.lru_cache(maxsize=2)  # the same for all steps of an epoch, in each part
def _order(images: int, seed: int, epoch: int, stream: str) -> Tensor:
    return torch.randperm(images, generator=generator_for(seed, stream, epoch))


def in_order(images: Images, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All images and labels once, in batches."""
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield images.pixels[part], images.labels[part]
