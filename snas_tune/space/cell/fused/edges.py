"""A fan: all edges that leave one node of a cell, computed together.

What the edges of a fan have in common is computed once: the rectified source, pooling and its batch
norm. Their separable convolutions are the same few kernels with different weights, so they run as
one. Shapes: ``E`` edges of the fan, ``Q`` separable ops, ``C`` channels, ``N`` pixels of the batch,
``B`` images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.space.cell.fused.autograd import Node, fan_messages
from snas_tune.space.cell.fused.pooling import Pooling
from snas_tune.space.cell.fused.stage import EPS, MOMENTUM, Place
from snas_tune.space.cell.kernels import bindings as native
from snas_tune.space.cell.supernet import added


@dataclass(frozen=True, slots=True)
class Separable:
    """A separable op: its depthwise kernels, each followed by a pointwise one and a batch norm."""

    name: str
    halves: tuple[tuple[int, int], ...]
    """``(kernel, dilation)`` of one or two halves; only the first has the edge's stride."""


@dataclass(frozen=True, slots=True)
class Shared:
    """An op without weights: of the node alone, so the same for every edge."""

    module: nn.Module
    pool: str | None
    """As of :class:`snas_tune.space.cell.ops.Op`; then the module is pooling and batch norm."""

    identity: bool

    def pooling(self) -> Pooling:
        """What the native kernels need of a pool."""
        assert isinstance(self.module, nn.Sequential)
        norm = self.module[1]
        assert isinstance(norm, nn.BatchNorm2d)
        return Pooling(self.pool == "max", norm)


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
        self.track_running_stats = True
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
            self.register_buffer(f"batches{half}", torch.zeros(count, edges, dtype=torch.long))

    def statistics(self, half: int) -> tuple[Tensor, Tensor, Tensor]:
        """Running mean and variance of batch norm, ``(Q, E, C)``, and batches seen, ``(Q, E)``."""
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
                f"{layer + 3}.num_batches_tracked": batches[op, edge],
            }
        return tensors

    def forward(
        self,
        x: Tensor,
        weights: Tensor,
        active: Sequence[Place],
        shared: Sequence[Shared],
        extra: Tensor,
        pooled: Sequence[Place],
    ) -> Any:
        """The messages of the edges.

        Args:
            x: the node, ``(B, C, H, W)``.
            weights: the sample's, ``(E, Q)``, of :attr:`ops`.
            active: edge and op of those that run.
            shared: the ops of ``extra``.
            extra: the sample's weights of ``shared``, ``(E, J)``.
            pooled: edge and op of those of ``extra`` that run.

        Returns:
            ``E`` messages ``(B, C, H', W')``; ``None`` where nothing runs.
        """
        wanted = {j: shared[j] for j in sorted({j for _, j in pooled})}
        autocast = torch.is_autocast_enabled(x.device.type)
        if not native.available(x.device, x.dtype) or autocast:
            made = {j: op.module(x) for j, op in wanted.items()}
            return self._torch(x, weights, active, made, extra, pooled)
        node = Node(
            x,
            {j: op.pooling() for j, op in wanted.items() if op.pool},
            {j for j, op in wanted.items() if op.identity},
            {j: op.module(x) for j, op in wanted.items() if not (op.pool or op.identity)},
        )
        return fan_messages(self, node, weights, active, extra, pooled)

    def _torch(
        self,
        x: Tensor,
        weights: Tensor,
        active: Sequence[Place],
        shared: Mapping[int, Tensor],
        extra: Tensor,
        pooled: Sequence[Place],
    ) -> Any:
        """Through torch's operators: each op once for all its edges, as grouped convolutions."""
        messages: list[Any] = [None] * self.edge_count
        for e, j in pooled:
            messages[e] = added(messages[e], extra[e, j] * shared[j])
        rectified = F.relu(x) if active else x
        for q, op in enumerate(self.ops):
            edges = [e for e, other in active if other == q]
            if not edges:
                continue
            y = rectified.repeat(1, len(edges), 1, 1)
            for half in range(len(op.halves)):
                y = self._half(F.relu(y) if half else y, half, q, edges)
            for e, message in zip(edges, y.split(self.channels, dim=1), strict=True):
                messages[e] = added(messages[e], weights[e, q] * message)
        return messages

    def _half(self, y: Tensor, half: int, q: int, edges: Sequence[int]) -> Tensor:
        """Depthwise convolution, pointwise convolution and batch norm of an op, for some edges."""
        op, width = self.ops[q], len(edges) * self.channels
        kernel, dilation = op.halves[half]
        # All edges are a slice, not a list: its gradient is not scattered, and nothing is copied.
        picked: Any = slice(None) if len(edges) == self.edge_count else list(edges)
        stride = self.stride if half == 0 else 1
        weight = self.depthwise[f"{op.name}/{half}"][picked].reshape(-1, 1, kernel, kernel)
        padding = dilation * (kernel - 1) // 2
        y = F.conv2d(y, weight, None, stride, padding, dilation, width)
        weight = self.pointwise[half][q][picked].reshape(-1, self.channels, 1, 1)
        y = F.conv2d(y, weight, None, groups=len(edges))
        if self.training and not self.track_running_stats:
            return F.batch_norm(y, None, None, training=True, eps=EPS)
        # Copies: autograd keeps what it was given, and would see the other ops write to one buffer.
        statistics = self.statistics(half)
        mean, variance = (statistic[q, picked].flatten().clone() for statistic in statistics[:2])
        y = F.batch_norm(y, mean, variance, None, None, self.training, MOMENTUM, EPS)
        if self.training:
            statistics[0][q, picked] = mean.view(-1, self.channels)
            statistics[1][q, picked] = variance.view(-1, self.channels)
            statistics[2][q, picked] += 1
        return y
