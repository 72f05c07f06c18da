"""A network behind its normalisation: raw pixels in, class logits out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from snas_tune.training.batches import Normalisation

DTYPES = (torch.uint8, torch.float32)
"""Data types of the pixels that an exported network may take, all in [0, 255]."""


class PixelNetwork(nn.Module):
    """A copy of a network with its normalisation, on the CPU, in evaluation mode.

    Args:
        network: gives class logits of normalised images; it stays as it is.
        normalise: of the images that it was trained on.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, normalise: Normalisation) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu()
        self.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.register_buffer("mean", normalise.mean.cpu().clone())
        self.register_buffer("deviation", normalise.deviation.cpu().clone())
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits ``(B, classes)`` of pixels ``(B, channels, side, side)`` in [0, 255]."""
        logits: Tensor = self.network((pixels.float() - self.mean) / self.deviation)
        return logits

    def example(self, batch: int, side: int, dtype: torch.dtype) -> Tensor:
        """Pixels ``(batch, channels, side, side)`` of noise; the same for the same arguments."""
        shape = (batch, len(self.mean), side, side)
        generator = torch.Generator().manual_seed(batch)
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8).to(dtype)
