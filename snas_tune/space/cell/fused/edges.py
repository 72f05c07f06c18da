"""All edges that leave one node of a cell, computed together.

The edges have in common, and compute once: the rectified node, pooling and its batch norm. Their
separable convolutions are the same few kernels with different weights, so they run as one.
Shapes: ``E`` edges that leave the node, ``Q`` separable ops, ``C`` channels, ``B`` images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snas_tune.space.cell.fused.autograd import messages_by_kernels
from snas_tune.space.cell.fused.grouped import messages_by_torch
from snas_tune.space.cell.fused.weights import (
    Depthwise,
    EdgeWeights,
    PoolNorm,
    Sample,
    Source,
    StageWeights,
    Statistics,
)
from snas_tune.space.cell.kernels import bindings


@dataclass(frozen=True, slots=True)
class SeparableOp:
    """A separable op: one or two stages of depthwise and pointwise convolution and batch norm."""

    name: str

    stages: tuple[tuple[int, int], ...]
    """``(kernel, dilation)`` of each stage; only the first has the edge's stride."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedOp:
    """An op without weights: of the node alone, so the same for every edge."""

    module: nn.Module

    pool: str | None
    """As of :class:`snas_tune.space.cell.ops.Op`; then the module is pooling and batch norm."""

    @property
    def identity(self) -> bool:
        """It gives the node itself."""
        return isinstance(self.module, nn.Identity)

    def pool_norm(self) -> PoolNorm:
        """A pool, as the kernels read it."""
        assert isinstance(self.module, nn.Sequential)
        norm = self.module[1]
        names = ("running_mean", "running_var", "num_batches_tracked")
        return PoolNorm(self.pool == "max", Statistics(*map(norm.get_buffer, names)))


class OutEdges(nn.Module):
    """The separable ops of the edges that leave one node.

    Args:
        channels: of the node.
        edges: how many leave it.
        ops: the separable ones.
        stride: of the edges.
    """

    def __init__(self, channels: int, edges: int, ops: Sequence[SeparableOp], stride: int) -> None:
        super().__init__()
        self.channels, self.edge_count, self.stride = channels, edges, stride
        self.track_running_stats = True
        self.ops = sorted(ops, key=lambda op: -len(op.stages))
        self.depthwise = nn.ParameterDict()
        for op in self.ops:
            for stage, (kernel, _) in enumerate(op.stages):
                weight = torch.zeros(edges, channels, kernel, kernel)
                self.depthwise[f"{op.name}/{stage}"] = nn.Parameter(weight)
        counts = (len(self.ops), sum(len(op.stages) == 2 for op in self.ops))
        self.pointwise = nn.ParameterList(
            nn.Parameter(torch.zeros(count, edges, channels, channels)) for count in counts
        )
        for stage, count in enumerate(counts):
            self.register_buffer(f"mean{stage}", torch.zeros(count, edges, channels))
            self.register_buffer(f"variance{stage}", torch.ones(count, edges, channels))
            self.register_buffer(f"batches{stage}", torch.zeros(count, edges, dtype=torch.long))

    def weights(self) -> EdgeWeights:
        """Weights, statistics, sizes and flags, for one call."""
        return EdgeWeights(
            self.channels,
            self.edge_count,
            self.stride,
            (self._stage(0), self._stage(1)),
            self.training,
            self.track_running_stats,
        )

    def _stage(self, stage: int) -> StageWeights:
        depthwise = tuple(
            Depthwise(*op.stages[stage], self.depthwise[f"{op.name}/{stage}"])
            for op in self.ops
            if stage < len(op.stages)
        )
        names = (f"mean{stage}", f"variance{stage}", f"batches{stage}")
        statistics = Statistics(*map(self.get_buffer, names))
        return StageWeights(depthwise, self.pointwise[stage], statistics)

    def op_tensors(self, edge: int, op: int) -> dict[str, Tensor]:
        """Weights and statistics of an op of an edge, by their names in the op's own module."""
        tensors: dict[str, Tensor] = {}
        for i, stage in enumerate(self.weights().stages[: len(self.ops[op].stages)]):
            running, layer = stage.statistics, 4 * i  # ReLU, depthwise, pointwise, batch norm
            tensors |= {
                f"{layer + 1}.weight": stage.depthwise[op].weight.detach()[edge].unsqueeze(1),
                f"{layer + 2}.weight": stage.pointwise.detach()[op, edge, :, :, None, None],
                f"{layer + 3}.running_mean": running.mean[op, edge],
                f"{layer + 3}.running_var": running.variance[op, edge],
                f"{layer + 3}.num_batches_tracked": running.batches[op, edge],
            }
        return tensors

    def forward(self, x: Tensor, sample: Sample, shared: Sequence[SharedOp]) -> list[Tensor | None]:
        """The messages of the edges.

        Args:
            x: the node, ``(B, C, H, W)``.
            sample: of the architecture, for :attr:`ops` and for ``shared``.
            shared: the ops without weights.

        Returns:
            ``E`` messages ``(B, C, H', W')``; ``None`` where nothing runs.
        """
        wanted = {j: shared[j] for j in sorted({j for _, j in sample.shared_runs})}
        autocast = torch.is_autocast_enabled(x.device.type)
        if not bindings.available(x.device, x.dtype) or autocast:
            made = {j: op.module(x) for j, op in wanted.items()}
            return messages_by_torch(self.weights(), x, made, sample)
        source = Source(
            x,
            {j: op.pool_norm() for j, op in wanted.items() if op.pool},
            {j for j, op in wanted.items() if op.identity},
            {j: op.module(x) for j, op in wanted.items() if not (op.pool or op.identity)},
        )
        return messages_by_kernels(self.weights(), source, sample)
