"""Batch norm's statistics measured anew on training images."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set every batch norm's statistics to the mean over ``batches``; weights stay.

    The network is left in evaluation mode. Layers that the plan feeds with zeros get mean 0.

    Args:
        network: a child that has inherited its weights.
        batches: normalised training images, as in the search.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative average
    network.train()
    with torch.no_grad():
        for images in batches:
            network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
