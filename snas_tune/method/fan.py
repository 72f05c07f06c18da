"""A fan: all edges that leave one node of a cell, computed together.

What the edges of a fan have in common is computed once: the rectified source, pooling and its batch
norm. Their separable convolutions are the same few kernels with different weights, so they run as
one. Shapes: ``E`` edges of the fan, ``Q`` separable ops, ``C`` channels, ``N`` pixels of the batch,
``B`` images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.method import native
from snas_tune.method.fan_half import EPS, MOMENTUM
from snas_tune.method.fan_native import fan_messages


@dataclass(frozen=True, slots=True)
class Separable:
    """A separable op: its depthwise kernels, each followed by a pointwise one and a batch norm."""

    name: str
    halves: tuple[tuple[int, int], ...]
    """``(kernel, dilation)`` of one or two halves; only the first has the edge's stride."""


class Fan(nn.Module):
    """The separable ops of the edges that leave one node.

    Args:
        channels: of the node.
        edges: how many leave it.
        ops: the separable ones; those with two halves come first.
        stride: of the edges.
    """

    def __init__(self, channels: int, edges: int, ops: Sequence[Separable], stride: int) -> None:
        super().__init__()
        self.channels, self.edge_count, self.stride = channels, edges, stride
        self.ops = sorted(ops, key=lambda op: -len(op.halves))
        self.twice = sum(len(op.halves) == 2 for op in self.ops)
        self.depthwise = nn.ParameterDict()
        for op in self.ops:
            for half, (kernel, _) in enumerate(op.halves):
                weight = torch.zeros(edges, channels, kernel, kernel)
                self.depthwise[f"{op.name}/{half}"] = nn.Parameter(weight)
        counts = (len(self.ops), self.twice)
        self.pointwise = nn.ParameterList(
            nn.Parameter(torch.zeros(count, edges, channels, channels)) for count in counts
        )
        for half, count in enumerate(counts):
            self.register_buffer(f"mean{half}", torch.zeros(count, edges, channels))
            self.register_buffer(f"variance{half}", torch.ones(count, edges, channels))
            self.register_buffer(f"batches{half}", torch.zeros(count, dtype=torch.long))

    def statistics(self, half: int) -> tuple[Tensor, Tensor, Tensor]:
        """Running mean and variance of batch norm, ``(Q, E, C)``, and batches seen, ``(Q,)``."""
        return (
            self.get_buffer(f"mean{half}"),
            self.get_buffer(f"variance{half}"),
            self.get_buffer(f"batches{half}"),
        )

    def kernels(self, half: int) -> Iterator[tuple[int, int, Tensor]]:
        """Kernel, dilation and weights ``(E, C, kernel, kernel)`` of the ops that have the half."""
        for op in self.ops:
            if half < len(op.halves):
                yield (*op.halves[half], self.depthwise[f"{op.name}/{half}"])

    def op_tensors(self, edge: int, op: int) -> dict[str, Tensor]:
        """Weights and statistics of an op of an edge, by their names in the op's own module."""
        tensors: dict[str, Tensor] = {}
        for half in range(len(self.ops[op].halves)):
            mean, variance, batches = self.statistics(half)
            layer = 4 * half  # ReLU, depthwise, pointwise, batch norm
            depthwise = self.depthwise[f"{self.ops[op].name}/{half}"].detach()
            tensors |= {
                f"{layer + 1}.weight": depthwise[edge].unsqueeze(1),
                f"{layer + 2}.weight": self.pointwise[half].detach()[op, edge, :, :, None, None],
                f"{layer + 3}.running_mean": mean[op, edge],
                f"{layer + 3}.running_var": variance[op, edge],
                f"{layer + 3}.num_batches_tracked": batches[op],
            }
        return tensors

    def forward(self, x: Tensor, weights: Tensor, shared: Sequence[Tensor], extra: Tensor) -> Any:
        """The messages of the edges.

        Args:
            x: the node, ``(B, C, H, W)``.
            weights: the sample's, ``(E, Q)``, of :attr:`ops`.
            shared: ``J`` tensors that ops made of the node alone, of the messages' shape.
            extra: the sample's weights of ``shared``, ``(E, J)``.

        Returns:
            ``E`` messages ``(B, C, H', W')``.
        """
        autocast = torch.is_autocast_enabled(x.device.type)
        if self.ops and native.available(x.device, x.dtype) and not autocast:
            return fan_messages(self, x, weights, shared, extra)
        return self._torch(x, weights, shared, extra)

    def _torch(self, x: Tensor, weights: Tensor, shared: Sequence[Tensor], extra: Tensor) -> Any:
        """Through torch's operators: each op once for all edges, as grouped convolutions."""
        edges, channels = self.edge_count, self.channels
        messages: list[Any] = [None] * edges
        for e in range(edges):
            for j, made in enumerate(shared):
                messages[e] = added(messages[e], extra[e, j] * made)
        wide = F.relu(x).repeat(1, edges, 1, 1) if self.ops else x
        for q, op in enumerate(self.ops):
            y = wide
            for half, (kernel, dilation) in enumerate(op.halves):
                stride = self.stride if half == 0 else 1
                if half:
                    y = F.relu(y)
                weight = self.depthwise[f"{op.name}/{half}"].reshape(-1, 1, kernel, kernel)
                padding = dilation * (kernel - 1) // 2
                y = F.conv2d(y, weight, None, stride, padding, dilation, edges * channels)
                weight = self.pointwise[half][q].reshape(-1, channels, 1, 1)
                y = F.conv2d(y, weight, None, groups=edges)
                mean, variance, batches = self.statistics(half)
                if self.training:
                    batches[q] += 1
                y = F.batch_norm(
                    y, mean[q].view(-1), variance[q].view(-1), None, None, self.training,
                    MOMENTUM, EPS,
                )  # fmt: skip
            for e, message in enumerate(y.split(channels, dim=1)):
                messages[e] = added(messages[e], weights[e, q] * message)
        return messages


def added(total: Tensor | None, term: Tensor) -> Tensor:
    """A running sum that may not have begun."""
    return term if total is None else total + term
