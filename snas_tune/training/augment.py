"""Random crop, mirror and cutout of normalised images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from snas_tune.config import SearchConfig


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
