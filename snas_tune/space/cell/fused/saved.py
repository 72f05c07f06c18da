"""Values that the forward pass of a node's out-edges saves for the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from snas_tune.space.cell.fused.pooling import Pools
from snas_tune.space.cell.fused.stage import Stage, output_shape, pixels_of
from snas_tune.space.cell.fused.weights import EdgeWeights, Sample, Source
from snas_tune.space.cell.kernels import bindings
from snas_tune.space.cell.kernels.bindings import Shape, Slice, plane
from snas_tune.space.cell.kernels.buffers import BUFFERS


class Saved:
    """One batch: the node and its shared ops as dense rows, the sample, and the stages that ran.

    Args:
        weights: of the out-edges.
        source: the node.
        sample: of the architecture.
    """

    def __init__(self, weights: EdgeWeights, source: Source, sample: Sample) -> None:
        self.stages: list[Stage] = []
        self.pools: Pools | None = None
        self.weights, self.dtype, self.size = weights, source.x.dtype, source.x.shape
        self.separable_runs, self.shared_runs = list(sample.separable_runs), sample.shared_runs
        self.ends = sorted({e for e, _ in (*self.separable_runs, *self.shared_runs)})
        """The edges that have a message."""
        self.separable, self.sample_type = sample.separable.detach().double(), sample.shared.dtype
        runs = set(sample.shared_runs)
        edges, ops = (range(size) for size in sample.shared.shape)
        mask = [[float((e, j) in runs) for j in ops] for e in edges]
        self.shared_mask = torch.tensor(mask, dtype=torch.float64).view(sample.shared.shape)
        self.shared = sample.shared.detach().double() * self.shared_mask
        batch, channels, height, width = self.size
        threads = torch.get_num_threads()
        self.in_shape = Shape(batch, height, width, channels, weights.stride, 1, threads)
        self.out_shape = output_shape(self.in_shape)
        self.source = rows_of(source.x)
        self.made = {j: rows_of(made) for j, made in source.made.items()}
        self.identities = set(source.identities)
        if source.pools:
            self.pools = Pools(weights, source.pools, self.source, self.in_shape)

    def last_stages(self) -> Iterator[tuple[Stage, int, int]]:
        """Stage, edge and op of everything that ends in a message."""
        for stage in self.stages:
            for e, q in stage.runs:
                if stage.index == 1 or q >= self.weights.two_stage:
                    yield stage, e, q

    def shared_plane(self, j: int) -> Slice:
        """The result of a shared op, of a pool before its batch norm."""
        if self.pools and j in self.pools.ranks:
            return plane(self.pools.values, self.pools.ranks[j])
        return plane(self.source if j in self.identities else self.made[j])

    def term(self, result: int, value: Slice, matrix: int | None, scalar: float) -> Any:
        """A slice times a matrix or a number, as part of a sum."""
        return bindings.TERMS[self.dtype](result, value, matrix, None, None, scalar)

    def empty(self) -> Tensor:
        """Rows of a message, uninitialised."""
        return torch.empty(pixels_of(self.out_shape), self.out_shape.channels, dtype=self.dtype)

    def image(self, rows: Tensor) -> Tensor:
        """Rows of a message as ``(B, C, H', W')``, channels-last."""
        shape = self.out_shape
        return rows.view(shape.batch, shape.height, shape.width, -1).permute(0, 3, 1, 2)

    def __del__(self) -> None:
        """Give the large tensors back once the graph is gone: no backward pass can follow."""
        if self.pools:
            BUFFERS.give(self.pools.values)
        for stage in self.stages:
            BUFFERS.give(stage.outputs)
            if stage.index == 1:
                BUFFERS.give(stage.source)


def rows_of(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` as a dense matrix ``(pixels, C)``; a view if ``x`` is channels-last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).contiguous()
