"""The pooling of a node on one batch, through the kernels.

As with the convolutions, the normalised form of a pooled node is never written: with ``v`` pooled,
batch norm is ``n = (v - m) s``, ``s = 1 / sqrt(var(v) + eps)``, and ``m`` and ``s`` are part of the
sum that makes an edge's message. Its gradient follows from sums over the pixels.
Shapes: ``P`` pools, ``E`` edges, ``C`` channels, ``N`` pixels of the messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from snas_tune.space.cell.fused.stage import output_shape, pixels_of
from snas_tune.space.cell.fused.weights import EPS, EdgeOp, EdgeWeights, PoolNorm
from snas_tune.space.cell.kernels import bindings
from snas_tune.space.cell.kernels.bindings import Input, Pool, Shape, plane
from snas_tune.space.cell.kernels.buffers import BUFFERS


class Pools:
    """The pools of a node on one batch.

    Args:
        weights: of the out-edges, for how batch norm runs.
        pools: by their position among the shared ops.
        source: the node, ``(pixels, C)``.
        shape: of it.
    """

    def __init__(
        self, weights: EdgeWeights, pools: Mapping[int, PoolNorm], source: Tensor, shape: Shape
    ) -> None:
        self.ranks = {j: i for i, j in enumerate(pools)}
        self.source, self.shape, self.dtype = source, shape, source.dtype
        self.training, self.pixels = weights.training, pixels_of(output_shape(shape))
        self.values = BUFFERS.take((len(pools), self.pixels, shape.channels), self.dtype)
        """``v`` of every pool, ``(P, N, C)``."""
        self.mean = torch.empty(len(pools), shape.channels, dtype=torch.float64)
        self.scale = torch.empty_like(self.mean)
        self._pools = [
            Pool(
                largest=pool.largest,
                value=plane(self.values, i),
                training=self.training,
                running_mean=pool.statistics.mean.data_ptr(),
                running_variance=pool.statistics.variance.data_ptr(),
                mean=self.mean[i].data_ptr(),
                scale=self.scale[i].data_ptr(),
            )
            for i, pool in enumerate(pools.values())
        ]
        inputs = [Input(plane(source), plane(source))]  # the gradient is not touched
        numbers = (EPS, weights.momentum)
        bindings.call("pool_forward", self.dtype, shape, *numbers, inputs, self._pools)
        if self.training and weights.track_running_stats:
            for pool in pools.values():
                pool.statistics.batches.add_(1)

    def term(self, result: int, j: int, weight: float) -> Any:
        """A pool's part of a message, ``Z n = Z (v - m) s``."""
        i = self.ranks[j]
        pointers = self.mean[i].data_ptr(), self.scale[i].data_ptr()
        return bindings.TERMS[self.dtype](result, plane(self.values, i), None, *pointers, weight)

    def normalised(self, inner: Tensor, sums: Tensor) -> Tensor:
        """Sums over the pixels of the messages' gradient ``g`` times the normalised pools.

        Args:
            inner: ``sum_p g v``, ``(E, P, C)``.
            sums: ``sum_p g``, ``(E, C)``.
        """
        # sum_p g n = s (sum_p g v - m sum_p g)
        return (inner - self.mean * sums.unsqueeze(1)) * self.scale

    def backward(
        self,
        grad: Tensor,
        rows: Mapping[int, Tensor],
        runs: Sequence[EdgeOp],
        weights: Tensor,
        normalised: Tensor,
        sums: Tensor,
    ) -> None:
        """Add the gradient of the node to ``grad``.

        Args:
            grad: ``(pixels, C)``.
            rows: gradient of the messages, by edge.
            runs: the pools that ran.
            weights: ``Z``, ``(E, P)``, 0 for those that did not.
            normalised: from :meth:`normalised`, ``(E, P, C)``.
            sums: of the gradient of the messages, ``(E, C)``.
        """
        # Gradient of n: h = sum_e Z_e g_e. Through batch norm, and sorted by powers of v:
        #     dL/dv = s (h - mean(h) - n mean(h n)) = s h + a v + c,
        #     a = -s^2 mean(h n),    c = -s mean(h) - a m
        # In evaluation m and s are constants, so a = c = 0.
        by_value, shift = torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        if self.training:
            mean = torch.einsum("ep,ec->pc", weights, sums) / self.pixels
            product = torch.einsum("ep,epc->pc", weights, normalised) / self.pixels
            by_value = -self.scale * self.scale * product
            shift = -self.scale * mean - by_value * self.mean
        for i, pool in enumerate(self._pools):
            pool.by_value, pool.shift = by_value[i].data_ptr(), shift[i].data_ptr()
        values, term = weights.tolist(), bindings.TERMS[self.dtype]
        terms = [
            term(self.ranks[j], plane(rows[e]), None, None, None, values[e][self.ranks[j]])
            for e, j in runs
        ]
        inputs = [Input(plane(self.source), plane(grad))]
        bindings.call("pool_backward", self.dtype, self.shape, inputs, self._pools, terms)
