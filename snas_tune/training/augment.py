"""Random crop, mirror and cutout of normalised images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from snas_tune.checks import COUNT_OR_ZERO, FLAG, at_most, check_fields
from snas_tune.setting_checks import MOST_SIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How training images are varied; by default not at all.

    Raises:
        ValueError: a value breaks its rule.
    """

    crop_padding: Annotated[int, COUNT_OR_ZERO, at_most(MOST_SIDE)] = 0
    """Random crops out of the image padded by this many pixels (CIFAR: 4)."""

    flip: Annotated[bool, FLAG] = False
    """Mirror half of the images. Wrong for digits and text."""

    cutout: Annotated[int, COUNT_OR_ZERO, at_most(MOST_SIDE)] = 0
    """Side of a square set to zero at a random place; 0 for none (CIFAR: 16)."""

    def __post_init__(self) -> None:
        check_fields(self)


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Random crop, mirror and cutout of normalised images.

    The random numbers come from the CPU, so they are the same on every device.

    Args:
        images: shape ``(B, channels, side, side)``.
        augmentation: which of the three, and how far.
        generator: on the CPU.
    """
    batch = len(images)
    if augmentation.crop_padding:
        images = _crop(images, augmentation.crop_padding, generator)
    if augmentation.flip:
        mirrored = torch.rand(batch, generator=generator).to(images.device) < 0.5
        images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
    if augmentation.cutout:
        images = _cut_out(images, augmentation.cutout, generator)
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


def _cut_out(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Zeros in a square of ``size`` pixels around any pixel; the image's border cuts the square."""
    batch, _, _, side = images.shape
    centre = torch.randint(side, (2, batch, 1), generator=generator).to(images.device)
    distance = torch.arange(side, device=images.device) - centre
    near = (distance >= -(size // 2)) & (distance < size - size // 2)
    return images * ~(near[0].view(-1, 1, side, 1) & near[1].view(-1, 1, 1, side))
