"""The pooling of a node on one batch, through the native kernels.

As with the convolutions, what batch norm makes of a pooled node is never written: its mean and
scale are part of the sum that makes an edge's message, and its gradient follows from sums over the
pixels.
Shapes: ``P`` pools, ``E`` edges, ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snas_tune.space.cell.fused.stage import BUFFERS, EPS, MOMENTUM, Place
from snas_tune.space.cell.kernels import bindings as native
from snas_tune.space.cell.kernels.bindings import Input, Pool, Shape, plane


@dataclass(frozen=True, slots=True)
class Pooling:
    """A pooling op of a node."""

    largest: bool
    """Maximum, or else mean, of a window of 3x3."""

    norm: nn.BatchNorm2d
    """Holds the statistics."""


class Pools:
    """The pools of a node on one batch.

    Args:
        pools: by their position among the ops that are shared by a node's edges.
        source: the node, ``(pixels, C)``.
        shape: of it.
    """

    def __init__(self, pools: Mapping[int, Pooling], source: Tensor, shape: Shape) -> None:
        self.ranks = {j: i for i, j in enumerate(pools)}
        self.source, self.shape, self.dtype = source, shape, source.dtype
        norms = [pool.norm for pool in pools.values()]
        self.training = norms[0].training
        height, width = -(-shape.height // shape.stride), -(-shape.width // shape.stride)
        self.pixels = shape.batch * height * width
        self.values = BUFFERS.take((len(pools), self.pixels, shape.channels), self.dtype)
        self.mean = torch.empty(len(pools), shape.channels, dtype=torch.float64)
        self.scale = torch.empty_like(self.mean)
        self._pools = [
            Pool(
                largest=pool.largest,
                value=plane(self.values, i),
                training=self.training,
                running_mean=pool.norm.get_buffer("running_mean").data_ptr(),
                running_variance=pool.norm.get_buffer("running_var").data_ptr(),
                mean=self.mean[i].data_ptr(),
                scale=self.scale[i].data_ptr(),
            )
            for i, pool in enumerate(pools.values())
        ]
        tracks = norms[0].track_running_stats
        native.call(
            "pool_forward",
            self.dtype,
            shape,
            EPS,
            MOMENTUM if tracks else 0.0,
            [Input(plane(source), plane(source))],
            self._pools,
        )
        if self.training and tracks:
            for norm in norms:
                norm.get_buffer("num_batches_tracked").add_(1)

    def term(self, result: int, j: int, weight: float) -> Any:
        """What the pool adds to a message: normalised, times its weight in the sample."""
        i = self.ranks[j]
        pointers = self.mean[i].data_ptr(), self.scale[i].data_ptr()
        return native.TERMS[self.dtype](result, plane(self.values, i), None, *pointers, weight)

    def normalised(self, inner: Tensor, sums: Tensor) -> Tensor:
        """Sums over the pixels of a gradient times the normalised pools.

        Args:
            inner: of the gradient times the pools as they are, ``(E, P, C)``.
            sums: of the gradient, ``(E, C)``.
        """
        return (inner - self.mean * sums.unsqueeze(1)) * self.scale

    def backward(
        self,
        grad: Tensor,
        rows: Mapping[int, Tensor],
        pooled: Sequence[Place],
        weights: Tensor,
        normalised: Tensor,
        sums: Tensor,
    ) -> None:
        """Add the gradient of the node to ``grad``.

        Args:
            grad: ``(pixels, C)``.
            rows: gradient of the messages, by edge.
            pooled: edge and op of the pools that ran.
            weights: theirs in the sample, ``(E, P)``, 0 for those that did not.
            normalised: from :meth:`normalised`, ``(E, P, C)``.
            sums: of the gradient of the messages, ``(E, C)``.
        """
        by_value, shift = torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        if self.training:
            mean = torch.einsum("ep,ec->pc", weights, sums) / self.pixels
            product = torch.einsum("ep,epc->pc", weights, normalised) / self.pixels
            by_value = -self.scale * self.scale * product
            shift = -self.scale * mean - by_value * self.mean
        for i, pool in enumerate(self._pools):
            pool.by_value, pool.shift = by_value[i].data_ptr(), shift[i].data_ptr()
        values = weights.tolist()
        terms = [
            native.TERMS[self.dtype](
                self.ranks[j], plane(rows[e]), None, None, None, values[e][self.ranks[j]]
            )
            for e, j in pooled
        ]
        native.call(
            "pool_backward",
            self.dtype,
            self.shape,
            [Input(plane(self.source), plane(grad))],
            self._pools,
            terms,
        )
