"""Layer specs: the layers of a network of cells as values, so that each is built as it is counted.

A spec knows its shapes, so one value serves the supernet, the child network, the cost tables and
the latency tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.space.cell.ops import FactorisedReduce, batch_norm, build_op, relu_conv_norm


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One op, preprocessing, stem stage or classifier at its real shapes."""

    kind: str
    """``op``, ``preprocess``, ``stem`` or ``classifier``."""

    name: str
    """Which of its kind: the op's name, say."""

    channels_in: int
    channels_out: int
    side: int
    """Of the square feature map that it reads, in pixels."""

    stride: int = 1

    def key(self) -> str:
        """A readable name, the same in every process and on every machine."""
        return (
            f"{self.kind}/{self.name}/{self.channels_in}-{self.channels_out}"
            f"/side{self.side}/stride{self.stride}"
        )

    def build(self, *, affine: bool) -> nn.Module:
        """The module, see :func:`snas_tune.space.cell.ops.build_op` for ``affine``."""
        if self.kind == "op":
            return build_op(self.name, self.channels_in, self.stride, affine=affine)
        if self.kind == "preprocess":
            if self.stride == 2:
                return FactorisedReduce(self.channels_in, self.channels_out, affine)
            return relu_conv_norm(self.channels_in, self.channels_out, 1, 1, affine)
        if self.kind == "classifier":
            return Classifier(self.channels_in, self.channels_out)
        return _STEM_STAGES[self.name](self.channels_in, self.channels_out)

    def example(self, device: str | torch.device, batch: int = 1) -> Tensor:
        """A zero batch of the shape that it reads."""
        return torch.zeros(batch, self.channels_in, self.side, self.side, device=device)


class Classifier(nn.Module):
    """Mean over the pixels, then a linear layer; only its bias where no channel is left."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        bound = max(1, channels) ** -0.5  # as nn.Linear, which warns of an empty weight
        self.weight = nn.Parameter(torch.empty(classes, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(classes).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.mean((2, 3)), self.weight, self.bias)


def _cifar_stem(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        batch_norm(channels_out, affine=True),
    )


def _early_stem(channels_in: int, channels_out: int) -> nn.Module:
    half = channels_out // 2
    return nn.Sequential(
        nn.Conv2d(channels_in, half, 3, stride=2, padding=1, bias=False),
        batch_norm(half, affine=True),
        nn.ReLU(),
        nn.Conv2d(half, channels_out, 3, stride=2, padding=1, bias=False),
        batch_norm(channels_out, affine=True),
    )


def _late_stem(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False),
        batch_norm(channels_out, affine=True),
    )


_STEM_STAGES = {"cifar": _cifar_stem, "imagenet_early": _early_stem, "imagenet_late": _late_stem}
