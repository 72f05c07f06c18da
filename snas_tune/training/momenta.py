"""SGD's momenta under the names of their weights, so that another implementation can go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn


class Named(Protocol):
    """A network whose tensors have names that all its implementations share."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Its weights."""

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Weights and statistics as views, by name."""

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Write to them."""


def momenta_of(network: Named, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """SGD's momentum of every weight, by the weight's shared name; empty before the first step."""
    found = [optimiser.state[weight] for weight in network.parameters()]
    if not any("momentum_buffer" in state for state in found):
        return {}
    momenta = [
        state.get("momentum_buffer", torch.zeros_like(weight))
        for weight, state in zip(network.parameters(), found, strict=True)
    ]
    mine = {momentum.untyped_storage().data_ptr() for momentum in momenta}
    with _standing_for_weights(network, momenta):
        named = list(network.named_tensors())
    return {name: t for name, t in named if t.untyped_storage().data_ptr() in mine}


def load_momenta(
    network: Named, optimiser: torch.optim.Optimizer, momenta: Mapping[str, Tensor]
) -> None:
    """The inverse of :func:`momenta_of`."""
    optimiser.state.clear()
    if not momenta:
        return
    weights = list(network.parameters())
    fresh = [torch.zeros_like(weight) for weight in weights]
    with _standing_for_weights(network, fresh):
        network.load_tensors(momenta)
    for weight, momentum in zip(weights, fresh, strict=True):
        optimiser.state[weight]["momentum_buffer"] = momentum


@contextmanager
def _standing_for_weights(network: Named, tensors: Sequence[Tensor]) -> Iterator[None]:
    """Inside, the network's weights are these tensors: its names for weights then name them."""
    weights = list(network.parameters())
    kept = [weight.data for weight in weights]
    try:
        for weight, tensor in zip(weights, tensors, strict=True):
            weight.data = tensor
        yield
    finally:
        for weight, data in zip(weights, kept, strict=True):
            weight.data = data
