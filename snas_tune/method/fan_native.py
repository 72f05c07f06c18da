"""A fan through the native kernels: forward, and the gradient that goes with it.

Per pixel there are only the kernels of ``fan.cpp``. Everything else is small: for each op of each
edge a matrix, a bias and the moments they come from, in float64 so that nothing is lost by
cancellation, and differentiated by autograd. Shapes: ``E`` edges, ``Q`` ops of a half, ``C``
channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snas_tune.method import native
from snas_tune.method.native import Branch, Input, Pair, Result, Shape, plane
from snas_tune.method.normalise import Normalised

if TYPE_CHECKING:
    from snas_tune.method.fan import Fan


BUFFERS = native.Buffers()
"""Of this process; a step gives back what it took."""


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
    """``(B, C, H, W)`` as a matrix ``(pixels, C)``; a view of what is in channels-last format."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class _Half:
    """One half of a fan's separable ops on one batch.

    ``outputs`` are planes ``(pixels, C)``: op ``q`` of edge ``e`` has plane ``e * Q + q``. So the
    second half reads plane by plane what was made of the planes of the first.
    """

    def __init__(self, fan: Fan, half: int, source: Tensor, shape: Shape) -> None:
        self.fan, self.half, self.source, self.shape = fan, half, source, shape
        self.kernels = [(k, d, weight.detach().contiguous()) for k, d, weight in fan.kernels(half)]
        self.ops, self.width = len(self.kernels), fan.channels
        height, width = -(-shape.height // shape.stride), -(-shape.width // shape.stride)
        self.out_shape = Shape(shape.batch, height, width, shape.channels, 1, 1, shape.threads)
        self.pixels = shape.batch * height * width
        self.outputs = BUFFERS.take(
            (fan.edge_count * self.ops, self.pixels, self.width), source.dtype
        )
        self._convolve()
        self.normalised = self._normalise()
        self.matrices, self.biases = self.normalised.matrix, self.normalised.bias
        """``(E, Q, C out, C in)`` and ``(E, Q, C)``."""

    def places(self) -> Iterator[tuple[int, int]]:
        """Every edge and op, in the order of the columns."""
        return ((e, q) for e in range(self.fan.edge_count) for q in range(self.ops))

    def slice(self, edge: int, op: int) -> Any:
        """Where the depthwise output of an op lies."""
        return plane(self.outputs, edge * self.ops + op)

    def _branches(self) -> dict[tuple[int, int], Branch]:
        return {
            (e, q): Branch(
                # The first half reads the node, the second what the first made of it.
                input=0 if self.half == 0 else e * self.ops + q,
                kernel=self.kernels[q][0],
                dilation=self.kernels[q][1],
                weight=self.kernels[q][2][e].data_ptr(),
                output=self.slice(e, q),
            )
            for e, q in self.places()
        }

    def _inputs(self, grad: Tensor) -> list[Input]:
        count = 1 if self.half == 0 else len(self.source)
        return [Input(plane(self.source, i), plane(grad, i)) for i in range(count)]

    def _convolve(self) -> None:
        edges, wide = self.fan.edge_count, torch.float64
        self.sums = torch.empty(edges, self.ops, self.width, dtype=wide)
        self.products = torch.empty(edges, self.ops, self.width, self.width, dtype=wide)
        branches = self._branches()
        if self.fan.training:
            for place, branch in branches.items():
                branch.sums = self.sums[place].data_ptr()
                branch.products = self.products[place].data_ptr()
        inputs = self._inputs(self.source)  # the gradients are not touched
        native.call(
            "depthwise_forward", self.source.dtype, self.shape, inputs, list(branches.values())
        )

    def _normalise(self) -> Normalised:
        pointwise = self.fan.pointwise[self.half].detach().transpose(0, 1).double()
        if self.fan.training:
            made = Normalised.by_batch(pointwise, self.sums, self.products, self.pixels)
            self.fan.note(self.half, made.mean, made.variance, self.pixels)
            return made
        mean, variance, _ = self.fan.statistics(self.half)
        return Normalised(
            pointwise, mean.transpose(0, 1).double(), variance.transpose(0, 1).double()
        )

    def backward(
        self,
        grad: Tensor,
        grads: dict[tuple[int, int], Any],
        matrices: dict[tuple[int, int], Tensor],
        matrix_grad: Tensor,
        bias_grad: Tensor,
    ) -> list[Tensor]:
        """The gradient of the source, into ``grad``, and of pointwise and depthwise weights.

        Args:
            grad: of the shape of the source.
            grads: slice of the gradient behind the op of an edge.
            matrices: ``(C in, C out)``, contiguous, that its depthwise output was multiplied by.
            matrix_grad: gradient of :attr:`matrices`.
            bias_grad: of :attr:`biases`.
        """
        pointwise_grad, spread, shift = self.normalised.backward(matrix_grad, bias_grad)
        weight_grads = [torch.empty_like(weight) for *_, weight in self.kernels]
        branches = self._branches()
        if spread is not None and shift is not None:
            spread, shift = spread.to(grad.dtype).contiguous(), shift.to(grad.dtype)
        for (e, q), branch in branches.items():
            branch.grad = grads[e, q]
            branch.matrix = matrices[e, q].data_ptr()
            branch.weight_grad = weight_grads[q][e].data_ptr()
            if spread is not None and shift is not None:
                branch.shift, branch.spread = shift[e, q].data_ptr(), spread[e, q].data_ptr()
        native.call(
            "depthwise_backward", grad.dtype, self.shape, self._inputs(grad),
            list(branches.values()),
        )  # fmt: skip
        return [pointwise_grad.transpose(0, 1).to(grad.dtype), *weight_grads]


class _Run:
    """One batch through a fan: what the forward pass leaves for the backward pass."""

    def __init__(
        self, fan: Fan, x: Tensor, weights: Tensor, extra: Tensor, shared: Sequence[Tensor]
    ) -> None:
        self.fan, self.dtype, self.size = fan, x.dtype, x.shape
        self.weights, self.extra = weights.detach().double(), extra.detach().double()
        self.sample_type = weights.dtype
        self.shared = [_rows(made) for made in shared]
        batch, channels, height, width = x.shape
        threads = torch.get_num_threads()
        self.first = _Half(
            fan, 0, _rows(x), Shape(batch, height, width, channels, fan.stride, 1, threads)
        )
        self.shape = self.first.out_shape
        self.halves_held = [self.first]
        self.second: _Half | None = None
        self.once = range(fan.twice, self.first.ops)
        """The ops whose first half is their last."""

    def _empty(self, width: int) -> Tensor:
        return torch.empty(self.first.pixels, width, dtype=self.dtype)

    def forward(self) -> list[Tensor]:
        fan, first = self.fan, self.first
        edges, twice, width = fan.edge_count, fan.twice, fan.channels
        if twice:
            between = BUFFERS.take((edges * twice, first.pixels, width), self.dtype)
            self._mix_between(between)
            self.second = _Half(fan, 1, between, self.shape)
            self.halves_held.append(self.second)
        bias = torch.zeros(edges, width, dtype=torch.float64)
        self.mixed: dict[tuple[int, int, int], Tensor] = {}
        terms = []
        for half, ops in self._last_halves():
            scale = self.weights[:, ops.start : ops.stop]
            matrices = half.matrices[:, ops.start : ops.stop]
            bias += (scale.unsqueeze(-1) * half.biases[:, ops.start : ops.stop]).sum(1)
            weighted = (scale[..., None, None] * matrices.mT).to(self.dtype).contiguous()
            for e in range(edges):
                for q in ops:
                    matrix = self.mixed[half.half, e, q] = weighted[e, q - ops.start]
                    terms.append(self._term(e, half.slice(e, q), matrix.data_ptr(), 0.0))
        for e, row in enumerate(self.extra.tolist()):
            for value, made in zip(row, self.shared, strict=True):
                terms.append(self._term(e, plane(made), None, value))
        bias = bias.to(self.dtype)
        messages = [self._empty(width) for _ in range(edges)]
        results = [Result(plane(m), bias[e].data_ptr()) for e, m in enumerate(messages)]
        native.call("mix", self.dtype, self.shape, results, terms)
        batch, height, wide = self.shape.batch, self.shape.height, self.shape.width
        return [m.view(batch, height, wide, width).permute(0, 3, 1, 2) for m in messages]

    def __del__(self) -> None:
        """Give the large tensors back once the graph is gone: no backward pass can follow."""
        for half in self.halves_held:
            BUFFERS.give(half.outputs)
            if half.half == 1:
                BUFFERS.give(half.source)

    def _last_halves(self) -> Iterator[tuple[_Half, range]]:
        """The halves that end in messages, and which of their ops do."""
        if self.second is not None:
            yield self.second, range(self.second.ops)
        if len(self.once):
            yield self.first, self.once

    def _term(self, result: int, value: Any, matrix: int | None, scalar: float) -> Any:
        return native.TERMS[self.dtype](result, value, matrix, scalar)

    def _mix_between(self, between: Tensor) -> None:
        """Pointwise convolution and batch norm of the first of two halves."""
        first, twice = self.first, self.fan.twice
        places = [(e, q) for e in range(self.fan.edge_count) for q in range(twice)]
        self.matrices = first.matrices[:, :twice].mT.to(self.dtype).contiguous()
        biases = first.biases[:, :twice].to(self.dtype).contiguous()
        results, terms = [], []
        for i, (e, q) in enumerate(places):
            results.append(Result(plane(between, i), biases[e, q].data_ptr()))
            terms.append(self._term(i, first.slice(e, q), self.matrices[e, q].data_ptr(), 0.0))
        native.call("mix", self.dtype, self.shape, results, terms)

    def backward(self, grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        fan, first, second = self.fan, self.first, self.second
        edges = fan.edge_count
        rows = [_rows(grad).contiguous() for grad in grads]
        weights_grad = torch.zeros_like(self.weights)
        matrix_grads, sums, extra_grad = self._cross_messages(rows)
        half_grads = {}
        for half, ops in self._last_halves():
            part = slice(ops.start, ops.stop)
            scale = self.weights[:, part]
            into = matrix_grads[half.half].mT  # (E, Q, C out, C in)
            weights_grad[:, part] = (half.matrices[:, part] * into).sum((2, 3))
            weights_grad[:, part] += (half.biases[:, part] * sums.unsqueeze(1)).sum(-1)
            half_grads[half.half] = (
                scale[..., None, None] * into, scale.unsqueeze(-1) * sums.unsqueeze(1)
            )  # fmt: skip
        behind = {(e, q): plane(rows[e]) for e in range(edges) for q in self.once}
        matrices = {(e, q): self.mixed[0, e, q] for e in range(edges) for q in self.once}
        parts = [half_grads[0]] if 0 in half_grads else []
        second_grads: list[Tensor] = []
        if second is not None:
            between_grad = BUFFERS.take(tuple(second.source.shape), self.dtype)
            places = list(second.places())
            second_grads = second.backward(
                between_grad,
                {(e, q): plane(rows[e]) for e, q in places},
                {(e, q): self.mixed[1, e, q] for e, q in places},
                *half_grads[1],
            )
            parts.insert(0, self._cross_between(between_grad))
            for i, place in enumerate(places):
                behind[place] = plane(between_grad, i)
                matrices[place] = self.matrices[place]
        x_grad = torch.empty_like(first.source)
        pointwise0, *kernels0 = first.backward(
            x_grad,
            behind,
            matrices,
            *(torch.cat(pieces, dim=1) for pieces in zip(*parts, strict=True)),
        )
        if second is not None:
            BUFFERS.give(between_grad)
        empty = fan.pointwise[1].new_zeros(fan.pointwise[1].shape)
        pointwise1, *kernels1 = second_grads or [empty]
        batch, channels, height, width = self.size
        return (
            x_grad.view(batch, height, width, channels).permute(0, 3, 1, 2),
            weights_grad.to(self.sample_type),
            extra_grad.to(self.sample_type),
            *self._shared_grads(rows),
            pointwise0,
            pointwise1,
            *kernels0,
            *kernels1,
        )

    def _cross_messages(self, rows: Sequence[Tensor]) -> tuple[dict[int, Tensor], Tensor, Tensor]:
        """Gradients of the mixing: of matrices ``(E, Q, C in, C out)`` by half, biases, extra."""
        edges, width, wide = self.fan.edge_count, self.fan.channels, torch.float64
        sums = torch.empty(edges, width, dtype=wide)
        extra_grad = torch.empty(edges, len(self.shared), dtype=wide)
        found, pairs = {}, []
        for half, ops in self._last_halves():
            grad = found[half.half] = torch.empty(edges, len(ops), width, width, dtype=wide)
            for e in range(edges):
                for q in ops:
                    products = grad[e, q - ops.start].data_ptr()
                    pairs.append(Pair(half.slice(e, q), plane(rows[e]), products=products))
        for e in range(edges):
            pairs.append(Pair(plane(rows[e]), plane(rows[e]), sums=sums[e].data_ptr()))
            for j, made in enumerate(self.shared):
                inner = extra_grad[e, j].data_ptr()
                pairs.append(Pair(plane(made), plane(rows[e]), inner=inner))
        native.call("cross", self.dtype, self.shape, pairs)
        return found, sums, extra_grad

    def _cross_between(self, between_grad: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the matrices and biases between two halves."""
        edges, twice, width = self.fan.edge_count, self.fan.twice, self.fan.channels
        matrix = torch.empty(edges, twice, width, width, dtype=torch.float64)
        bias = torch.empty(edges, twice, width, dtype=torch.float64)
        pairs = []
        for e in range(edges):
            for q in range(twice):
                grad = plane(between_grad, e * twice + q)
                products, sums = matrix[e, q].data_ptr(), bias[e, q].data_ptr()
                pairs.append(Pair(self.first.slice(e, q), grad, products=products, sums=sums))
        native.call("cross", self.dtype, self.shape, pairs)
        return matrix.mT, bias

    def _shared_grads(self, rows: Sequence[Tensor]) -> list[Tensor]:
        if not self.shared:
            return []
        made = [self._empty(self.fan.channels) for _ in self.shared]
        terms = [
            self._term(j, plane(rows[e]), None, value)
            for e, row in enumerate(self.extra.tolist())
            for j, value in enumerate(row)
        ]
        results = [Result(plane(grad)) for grad in made]
        native.call("mix", self.dtype, self.shape, results, terms)
        shape = self.shape
        return [
            grad.view(shape.batch, shape.height, shape.width, -1).permute(0, 3, 1, 2)
            for grad in made
        ]
