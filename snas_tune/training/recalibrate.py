"""Batch norm's statistics measured anew on training images."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim.swa_utils import update_bn


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set every batch norm's statistics to the mean over ``batches``; weights stay.

    The network is left in evaluation mode. Channels that are always 0 get mean 0.

    Args:
        network: any; without batch norms it keeps all it has.
        batches: normalised training images.
    """
    update_bn(batches, network)
    network.eval()
