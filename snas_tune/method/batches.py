"""Images as batches of tensors: the data order, augmentation and normalisation.

The order of an epoch and the augmentation of a step follow from (seed, epoch) and (seed, step), so
nothing of them is saved. Shapes: ``N`` images in all, ``B`` in a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet, load, split, subset
from snas_tune.method.sampling import generator_for


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
        """1 or 3."""
        return int(self.pixels.shape[1])

    def pick(self, indices: np.ndarray, device: torch.device) -> Images:
        """Some of the images, on a device."""
        index = torch.from_numpy(np.ascontiguousarray(indices))
        return Images(self.pixels[index].to(device), self.labels[index].to(device), self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class SearchData:
    """Training and validation images of a search, and what normalises both."""

    train: Images
    validation: Images
    mean: Tensor
    """Of the training pixels by channel, in [0, 255]; shape ``(channels, 1, 1)``."""

    deviation: Tensor
    """Standard deviation, likewise."""

    def normalise(self, pixels: Tensor, channels_last: bool = False) -> Tensor:
        """Float images with mean 0 and deviation 1 by channel."""
        images = (pixels.float() - self.mean) / self.deviation
        return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def load_images(config: SearchConfig) -> ImageSet:
    """The training images that a config names; see :func:`snas_tune.data.load` for its errors.

    Raises:
        ValueError: the images are not square.
    """
    images = load(
        config.data,
        root=config.data_root,
        image_size=config.image_size,
        channels=config.image_channels,
        cache_dir=config.data_cache,
    )
    height, width = images.images.shape[-2:]
    if height != width:
        raise ValueError(
            f"images of {config.data} must be square, got {height} x {width}: set image_size"
        )
    return images


def search_data(images: ImageSet, config: SearchConfig, device: torch.device) -> SearchData:
    """Split images, stratified, with the config's seed, and measure the training part.

    Raises:
        ValueError: the split leaves less than one training batch, or a class without images.
    """
    keep = np.arange(len(images.labels))
    if config.limit_images is not None:
        keep = subset(images.labels, limit=config.limit_images, seed=config.seed)
    train, validation = (
        keep[part]
        for part in split(
            images.labels[keep], validation_fraction=config.validation_fraction, seed=config.seed
        )
    )
    if len(train) < config.batch_size:
        raise ValueError(
            f"batch_size must be at most the {len(train)} training images, got {config.batch_size}"
        )
    pixels = np.asarray(images.images)
    sample = pixels[train].astype(np.float64)
    mean = sample.mean(axis=(0, 2, 3)).reshape(-1, 1, 1)
    deviation = sample.std(axis=(0, 2, 3)).reshape(-1, 1, 1).clip(min=1.0)
    whole = Images(_tensor(pixels), _tensor(images.labels), tuple(images.classes))
    return SearchData(
        whole.pick(train, device),
        whole.pick(validation, device),
        torch.tensor(mean, dtype=torch.float32, device=device),
        torch.tensor(deviation, dtype=torch.float32, device=device),
    )


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor of the array's values; memory-mapped arrays are read-only, torch's are not."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def batch_indices(images: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Which images the batch of step ``step`` holds: whole batches of one permutation an epoch.

    Returns:
        Shape ``(batch_size,)``. The rest that does not fill a batch differs from epoch to epoch.
    """
    steps = images // batch_size
    order = torch.randperm(images, generator=generator_for(seed, "order", step // steps))
    start = step % steps * batch_size
    return order[start : start + batch_size]


def augment(images: Tensor, config: SearchConfig, generator: torch.Generator) -> Tensor:
    """Random crop, mirror and cutout of normalised images, as the config asks.

    The random numbers come from the CPU, so they are the same on every device.

    Args:
        images: shape ``(B, channels, side, side)``.
        config: ``crop_padding``, ``flip``, ``cutout``.
        generator: on the CPU.
    """
    batch, _, _, side = images.shape
    if config.crop_padding:
        images = _crop(images, config.crop_padding, generator)
    if config.flip:
        mirrored = torch.rand(batch, generator=generator).to(images.device) < 0.5
        images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
    if config.cutout:
        centre = torch.randint(side, (2, batch, 1), generator=generator).to(images.device)
        place = torch.arange(side, device=images.device)
        near = (place - centre >= -(config.cutout // 2)) & (
            place - centre < config.cutout - config.cutout // 2
        )
        images = images * ~(near[0].view(-1, 1, side, 1) & near[1].view(-1, 1, 1, side))
    return images


def _crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """A random window of the image's own size out of the image with a border of zeros."""
    batch, channels, side, _ = images.shape
    shift = torch.randint(2 * padding + 1, (2, batch, 1), generator=generator).to(images.device)
    window = shift + torch.arange(side, device=images.device)
    padded = F.pad(images, (padding,) * 4)
    rows = window[0].view(batch, 1, side, 1).expand(-1, channels, -1, padded.shape[-1])
    columns = window[1].view(batch, 1, 1, side).expand(-1, channels, side, -1)
    return padded.gather(2, rows).gather(3, columns)


def in_order(images: Images, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """All images and labels once, in batches."""
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        yield images.pixels[part], images.labels[part]
