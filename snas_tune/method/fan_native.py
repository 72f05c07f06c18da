"""A fan through the native kernels: forward, and the gradient that goes with it.

**Batch norm without a pass over its input.** The batch norm of a pointwise convolution ``y = P d``
needs only the mean and the variance of ``y``, and these follow from the moments of ``d``: ``mean(y)
= P mean(d)`` and ``var(y) = diag(P cov(d) P^T)``. So convolution, batch norm and the sample's
weight are one matrix and a bias; neither ``y`` nor its normalised form is ever written, and one
product with that matrix adds the op to the edge's message. It is exact, not an approximation; the
moments are in float64, so nothing is lost by cancellation. The arithmetic is in ``kernels/``; here
is its order, forward and backward. Shapes: ``E`` edges, ``Q`` ops of a half, ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snas_tune.method import native
from snas_tune.method.fan_half import BUFFERS, Half
from snas_tune.method.native import Pair, Result, Shape, plane

if TYPE_CHECKING:
    from snas_tune.method.fan import Fan


def fan_messages(
    fan: Fan, x: Tensor, weights: Tensor, shared: Sequence[Tensor], extra: Tensor
) -> list[Tensor]:
    """What :meth:`snas_tune.method.fan.Fan.forward` returns, by the native kernels."""
    kernels = [weight for half in (0, 1) for *_, weight in fan.kernels(half)]
    messages: tuple[Tensor, ...] = _FanFunction.apply(  # type: ignore[no-untyped-call]
        fan, len(shared), x, weights, extra, *shared, *fan.pointwise, *kernels
    )
    return list(messages)


class _FanFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, fan: Fan, count: int, x: Tensor, weights: Tensor, extra: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.run = _Run(fan, x, weights, extra, rest[:count])
        return tuple(ctx.run.forward())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, None, *ctx.run.backward(grads))


def _rows(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` as a dense matrix ``(pixels, C)``; a view of what is channels-last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).contiguous()


class _Run:
    """One batch through a fan: what the forward pass leaves for the backward pass."""

    def __init__(
        self, fan: Fan, x: Tensor, weights: Tensor, extra: Tensor, shared: Sequence[Tensor]
    ) -> None:
        self.fan, self.dtype, self.size = fan, x.dtype, x.shape
        self.weights, self.extra = weights.detach().double(), extra.tolist()
        self.sample_type = weights.dtype
        self.shared = [_rows(made) for made in shared]
        self.halves: list[Half] = []
        batch, channels, height, width = x.shape
        self.in_shape = Shape(
            batch, height, width, channels, fan.stride, 1, torch.get_num_threads()
        )
        self.source = _rows(x)

    def _empty(self) -> Tensor:
        return torch.empty(self.halves[0].pixels, self.fan.channels, dtype=self.dtype)

    def _image(self, rows: Tensor) -> Tensor:
        shape = self.halves[0].out_shape
        return rows.view(shape.batch, shape.height, shape.width, -1).permute(0, 3, 1, 2)

    def forward(self) -> list[Tensor]:
        fan = self.fan
        edges, twice, width = fan.edge_count, fan.twice, fan.channels
        bias = torch.zeros(edges, width, dtype=torch.float64)
        between_bias = torch.zeros(edges, twice, width, dtype=torch.float64)
        weights = self.weights.clone()
        weights[:, :twice] = 1  # what goes on to a second half is weighted behind that
        first = Half(
            fan, 0, self.source, self.in_shape, weights,
            lambda e, q: between_bias[e, q] if q < twice else bias[e],
        )  # fmt: skip
        self.halves.append(first)
        if twice:
            between = self._mixed_between(between_bias)
            self.halves.append(
                Half(fan, 1, between, first.out_shape, self.weights[:, :twice],
                      lambda e, _: bias[e])
            )  # fmt: skip
        terms = [
            self._term(e, half.slice(e, q), half.matrices[e, q].data_ptr(), 0.0)
            for half, e, q in self._last_ops()
        ]
        for e, row in enumerate(self.extra):
            for value, made in zip(row, self.shared, strict=True):
                terms.append(self._term(e, plane(made), None, value))
        messages = [self._empty() for _ in range(edges)]
        results = [Result(plane(m), bias[e].data_ptr()) for e, m in enumerate(messages)]
        native.call("mix", self.dtype, first.out_shape, results, terms)
        return [self._image(message) for message in messages]

    def _last_ops(self) -> Iterator[tuple[Half, int, int]]:
        """Half, edge and op of everything that ends in a message."""
        for half in self.halves:
            for e, q in half.places():
                if half.half == 1 or q >= self.fan.twice:
                    yield half, e, q

    def _term(self, result: int, value: Any, matrix: int | None, scalar: float) -> Any:
        return native.TERMS[self.dtype](result, value, matrix, scalar)

    def _mixed_between(self, bias: Tensor) -> Tensor:
        """Planes that the second halves read; they are rectified there, as they are loaded."""
        first, twice = self.halves[0], self.fan.twice
        places = [(e, q) for e, q in first.places() if q < twice]
        planes = BUFFERS.take((len(places), first.pixels, first.width), self.dtype)
        results = [
            Result(plane(planes, i), bias[place].data_ptr()) for i, place in enumerate(places)
        ]
        terms = [
            self._term(i, first.slice(*place), first.matrices[place].data_ptr(), 0.0)
            for i, place in enumerate(places)
        ]
        native.call("mix", self.dtype, first.out_shape, results, terms)
        return planes

    def backward(self, grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        fan, first = self.fan, self.halves[0]
        edges, twice = fan.edge_count, fan.twice
        rows = [_rows(grad) for grad in grads]
        behind = {(e, q): plane(rows[e]) for e, q in first.places()}
        matrix_grads = [torch.empty(h.matrices.shape, dtype=torch.float64) for h in self.halves]
        bias_grad, extra_grad = self._cross_messages(rows, matrix_grads)
        bias_grads = bias_grad.unsqueeze(1).expand(-1, first.ops, -1).contiguous()
        sample_grad = torch.zeros(edges, first.ops, dtype=torch.float64)
        second_grads = [torch.zeros_like(fan.pointwise[1])]
        if twice:
            second = self.halves[1]
            between_grad = BUFFERS.take(tuple(second.source.shape), self.dtype)
            sample_grad[:, :twice], second_grads = second.backward(
                between_grad, [plane(rows[e]) for e, _ in second.places()], matrix_grads[1],
                bias_grads,
            )  # fmt: skip
            for i, place in enumerate(second.places()):
                behind[place] = plane(between_grad, i)
            self._cross_between(between_grad, matrix_grads[0], bias_grads)
        source_grad = torch.empty_like(first.source)
        first_grad, (pointwise_grad, *kernel_grads) = first.backward(
            source_grad, list(behind.values()), matrix_grads[0], bias_grads
        )
        sample_grad[:, twice:] = first_grad[:, twice:]
        if twice:
            BUFFERS.give(between_grad)
        batch, channels, height, width = self.size
        return (
            source_grad.view(batch, height, width, channels).permute(0, 3, 1, 2),
            sample_grad.to(self.sample_type),
            extra_grad.to(self.sample_type),
            *self._shared_grads(rows),
            pointwise_grad,
            second_grads[0],
            *kernel_grads,
            *second_grads[1:],
        )

    def _cross_messages(
        self, rows: Sequence[Tensor], matrix_grads: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Gradients of what was mixed: of matrices, filled in by half; of biases and of extra."""
        edges, width, wide = self.fan.edge_count, self.fan.channels, torch.float64
        sums = torch.empty(edges, width, dtype=wide)
        extra_grad = torch.empty(edges, len(self.shared), dtype=wide)
        pairs = []
        for half, e, q in self._last_ops():
            products = matrix_grads[half.half][e, q].data_ptr()
            pairs.append(Pair(half.slice(e, q), plane(rows[e]), products=products))
        for e, row in enumerate(rows):
            pairs.append(Pair(plane(row), plane(row), sums=sums[e].data_ptr()))
            for j, made in enumerate(self.shared):
                inner = extra_grad[e, j].data_ptr()
                pairs.append(Pair(plane(made), plane(row), inner=inner))
        native.call("cross", self.dtype, self.halves[0].out_shape, pairs)
        return sums, extra_grad

    def _cross_between(self, grad: Tensor, matrix_grad: Tensor, bias_grad: Tensor) -> None:
        """The same of the matrices and biases between the halves."""
        first = self.halves[0]
        pairs = [
            Pair(
                first.slice(*place),
                plane(grad, i),
                products=matrix_grad[place].data_ptr(),
                sums=bias_grad[place].data_ptr(),
            )
            for i, place in enumerate(self.halves[1].places())
        ]
        native.call("cross", self.dtype, first.out_shape, pairs)

    def _shared_grads(self, rows: Sequence[Tensor]) -> list[Tensor]:
        if not self.shared:
            return []
        made = [self._empty() for _ in self.shared]
        terms = [
            self._term(j, plane(rows[e]), None, value)
            for e, row in enumerate(self.extra)
            for j, value in enumerate(row)
        ]
        results = [Result(plane(grad)) for grad in made]
        native.call("mix", self.dtype, self.halves[0].out_shape, results, terms)
        return [self._image(grad) for grad in made]

    def __del__(self) -> None:
        """Give the large tensors back once the graph is gone: no backward pass can follow."""
        for half in self.halves:
            BUFFERS.give(half.outputs)
            if half.half == 1:
                BUFFERS.give(half.source)
