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

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snas_tune.space.cell.fused.pooling import Pooling, Pools
from snas_tune.space.cell.fused.stage import BUFFERS, Half, Place
from snas_tune.space.cell.kernels import bindings as native
from snas_tune.space.cell.kernels.bindings import Pair, Result, Shape, plane

if TYPE_CHECKING:
    from snas_tune.space.cell.fused.edges import Fan


@dataclass(frozen=True, slots=True)
class Node:
    """A node, and what is made of it for all edges; by position among the ops that are shared."""

    x: Tensor
    pools: Mapping[int, Pooling]
    identities: Collection[int]
    made: Mapping[int, Tensor]
    """Made elsewhere, of the messages' shape."""


def fan_messages(
    fan: Fan,
    node: Node,
    weights: Tensor,
    active: Sequence[Place],
    extra: Tensor,
    pooled: Sequence[Place],
) -> list[Tensor | None]:
    """What :meth:`snas_tune.space.cell.fused.edges.Fan.forward` returns, by the native kernels."""
    messages: list[Tensor | None] = [None] * fan.edge_count
    ends = sorted({e for e, _ in (*active, *pooled)})
    if ends:
        kernels = [weight for half in (0, 1) for *_, weight in fan.kernels(half)]
        made: tuple[Tensor, ...] = _FanFunction.apply(  # type: ignore[no-untyped-call]
            fan,
            active,
            node,
            pooled,
            node.x,
            weights,
            extra,
            *node.made.values(),
            *fan.pointwise,
            *kernels,
        )
        for e, message in zip(ends, made, strict=True):
            messages[e] = message
    return messages


class _FanFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        fan: Fan,
        active: Sequence[Place],
        node: Node,
        pooled: Sequence[Place],
        x: Tensor,
        weights: Tensor,
        extra: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.run = _Run(fan, active, node, pooled, weights, extra)
        return tuple(ctx.run.forward())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, None, None, None, *ctx.run.backward(grads))


def _zeros_of(fan: Fan, half: int) -> list[Tensor]:
    """Gradients of the weights of a half that did not run."""
    weights = [fan.pointwise[half], *(kernel for *_, kernel in fan.kernels(half))]
    return [torch.zeros_like(weight) for weight in weights]


def _rows(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` as a dense matrix ``(pixels, C)``; a view of what is channels-last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).contiguous()


class _Run:
    """One batch through a fan: what the forward pass leaves for the backward pass."""

    def __init__(
        self,
        fan: Fan,
        active: Sequence[Place],
        node: Node,
        pooled: Sequence[Place],
        weights: Tensor,
        extra: Tensor,
    ) -> None:
        self.fan, self.active, self.pooled = fan, list(active), list(pooled)
        self.ends = sorted({e for e, _ in (*active, *pooled)})
        self.dtype, self.size = node.x.dtype, node.x.shape
        self.weights, self.sample_type = weights.detach().double(), weights.dtype
        places = set(pooled)
        edges, ops = (range(size) for size in extra.shape)
        runs = [[float((e, j) in places) for j in ops] for e in edges]
        self.runs = torch.tensor(runs, dtype=torch.float64).view(extra.shape)
        self.extra = extra.detach().double() * self.runs
        self.halves: list[Half] = []
        batch, channels, height, width = self.size
        threads = torch.get_num_threads()
        self.in_shape = Shape(batch, height, width, channels, fan.stride, 1, threads)
        height, width = -(-height // fan.stride), -(-width // fan.stride)
        self.out_shape = Shape(batch, height, width, channels, 1, 1, threads)
        self.source = _rows(node.x)
        self.made = {j: _rows(made) for j, made in node.made.items()}
        self.identities = set(node.identities)
        self.pools = Pools(node.pools, self.source, self.in_shape) if node.pools else None

    def _plane(self, j: int) -> Any:
        """What a shared op made, before batch norm."""
        if self.pools and j in self.pools.ranks:
            return plane(self.pools.values, self.pools.ranks[j])
        return plane(self.source if j in self.identities else self.made[j])

    def _empty(self) -> Tensor:
        shape = self.out_shape
        return torch.empty(
            shape.batch * shape.height * shape.width, shape.channels, dtype=self.dtype
        )

    def _image(self, rows: Tensor) -> Tensor:
        shape = self.out_shape
        return rows.view(shape.batch, shape.height, shape.width, -1).permute(0, 3, 1, 2)

    def forward(self) -> list[Tensor]:
        fan, width = self.fan, self.fan.channels
        bias = torch.zeros(fan.edge_count, width, dtype=torch.float64)
        if self.active:
            self._run_halves(bias)
        ranks = {e: i for i, e in enumerate(self.ends)}
        terms = [
            self._term(ranks[e], half.slice(e, q), half.matrices[e, q].data_ptr(), 0.0)
            for half, e, q in self._last_ops()
        ]
        scalars = self.extra.tolist()
        for e, j in self.pooled:
            if self.pools and j in self.pools.ranks:
                terms.append(self.pools.term(ranks[e], j, scalars[e][j]))
            else:
                terms.append(self._term(ranks[e], self._plane(j), None, scalars[e][j]))
        messages = [self._empty() for _ in self.ends]
        results = [
            Result(plane(message), bias[e].data_ptr())
            for e, message in zip(self.ends, messages, strict=True)
        ]
        native.call("mix", self.dtype, self.out_shape, results, terms)
        return [self._image(message) for message in messages]

    def _run_halves(self, bias: Tensor) -> None:
        """Everything up to the last matrices; ``bias``, ``(E, C)``, is added to."""
        fan, twice = self.fan, self.fan.twice
        between_bias = torch.zeros(fan.edge_count, twice, fan.channels, dtype=torch.float64)
        weights = self.weights.clone()
        weights[:, :twice] = 1  # what goes on to a second half is weighted behind that
        first = Half(
            fan,
            0,
            self.active,
            self.source,
            self.in_shape,
            weights,
            lambda e, q: between_bias[e, q] if q < twice else bias[e],
        )
        self.halves.append(first)
        onward = [place for place in self.active if place[1] < twice]
        if onward:
            between = self._mixed_between(onward, between_bias)
            self.halves.append(
                Half(
                    fan,
                    1,
                    onward,
                    between,
                    self.out_shape,
                    self.weights[:, :twice],
                    lambda e, _: bias[e],
                )
            )

    def _last_ops(self) -> Iterator[tuple[Half, int, int]]:
        """Half, edge and op of everything that ends in a message."""
        for half in self.halves:
            for e, q in half.places:
                if half.half == 1 or q >= self.fan.twice:
                    yield half, e, q

    def _term(self, result: int, value: Any, matrix: int | None, scalar: float) -> Any:
        return native.TERMS[self.dtype](result, value, matrix, None, None, scalar)

    def _mixed_between(self, onward: Sequence[Place], bias: Tensor) -> Tensor:
        """Planes that the second halves read; they are rectified there, as they are loaded."""
        first = self.halves[0]
        planes = BUFFERS.take((len(onward), first.pixels, first.width), self.dtype)
        results = [
            Result(plane(planes, i), bias[place].data_ptr()) for i, place in enumerate(onward)
        ]
        terms = [
            self._term(i, first.slice(*place), first.matrices[place].data_ptr(), 0.0)
            for i, place in enumerate(onward)
        ]
        native.call("mix", self.dtype, self.out_shape, results, terms)
        return planes

    def backward(self, grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        fan = self.fan
        rows = {e: _rows(grad) for e, grad in zip(self.ends, grads, strict=True)}
        matrix_grads = [torch.empty(h.matrices.shape, dtype=torch.float64) for h in self.halves]
        bias_grad, inner = self._cross_messages(rows, matrix_grads)
        sample_grad = torch.zeros(fan.edge_count, len(fan.ops), dtype=torch.float64)
        weight_grads: list[list[Tensor]] = [
            [] if h < len(self.halves) else _zeros_of(fan, h) for h in (0, 1)
        ]
        source_grad = None
        if self.halves:
            source_grad = self._halves_backward(
                rows, bias_grad, matrix_grads, sample_grad, weight_grads
            )
        extra_grad = inner.sum(-1)
        if self.pools:
            source_grad = torch.zeros_like(self.source) if source_grad is None else source_grad
            ranks = list(self.pools.ranks)
            normalised = self.pools.normalised(inner[:, ranks], bias_grad)
            normalised *= self.runs[:, ranks].unsqueeze(-1)
            extra_grad[:, ranks] = normalised.sum(-1)
            ran = [(e, j) for e, j in self.pooled if j in self.pools.ranks]
            self.pools.backward(source_grad, rows, ran, self.extra[:, ranks], normalised, bias_grad)
        source_grad = self._identities_backward(rows, source_grad)
        (first, *first_kernels), (second, *second_kernels) = weight_grads
        batch, channels, height, width = self.size
        return (
            None
            if source_grad is None
            else source_grad.view(batch, height, width, channels).permute(0, 3, 1, 2),
            sample_grad.to(self.sample_type),
            extra_grad.to(self.sample_type),
            *self._made_grads(rows),
            first,
            second,
            *first_kernels,
            *second_kernels,
        )

    def _halves_backward(
        self,
        rows: Mapping[int, Tensor],
        bias_grad: Tensor,
        matrix_grads: Sequence[Tensor],
        sample_grad: Tensor,
        weight_grads: list[list[Tensor]],
    ) -> Tensor:
        """The gradient of the node; those of the sample and of all weights are filled in."""
        first, twice = self.halves[0], self.fan.twice
        behind = {(e, q): plane(rows[e]) for e, q in first.places}
        bias_grads = bias_grad.unsqueeze(1).repeat(1, first.ops, 1)  # a copy: some are overwritten
        between_grad = None
        for second in self.halves[1:]:
            between_grad = BUFFERS.take(tuple(second.source.shape), self.dtype)
            sample_grad[:, :twice], weight_grads[1] = second.backward(
                between_grad,
                [plane(rows[e]) for e, _ in second.places],
                matrix_grads[1],
                bias_grads,
            )
            for i, place in enumerate(second.places):
                behind[place] = plane(between_grad, i)
            self._cross_between(between_grad, matrix_grads[0], bias_grads)
        source_grad = torch.empty_like(first.source)
        first_grad, weight_grads[0] = first.backward(
            source_grad, list(behind.values()), matrix_grads[0], bias_grads
        )
        sample_grad[:, twice:] = first_grad[:, twice:]
        if between_grad is not None:
            BUFFERS.give(between_grad)
        return source_grad

    def _cross_messages(
        self, rows: Mapping[int, Tensor], matrix_grads: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What follows from sums over the pixels.

        Gradients of matrices are filled in, by half. Returned are those of biases, ``(E, C)``, and
        products of the shared ops' values with the messages' gradients, ``(E, J, C)``.
        """
        sums = torch.zeros(self.fan.edge_count, self.fan.channels, dtype=torch.float64)
        inner = torch.zeros(*self.extra.shape, self.fan.channels, dtype=torch.float64)
        pairs = []
        for half, e, q in self._last_ops():
            products = matrix_grads[half.half][e, q].data_ptr()
            pairs.append(Pair(half.slice(e, q), plane(rows[e]), products=products))
        for e, row in rows.items():
            pairs.append(Pair(plane(row), plane(row), sums=sums[e].data_ptr()))
        for e, j in self.pooled:
            products = inner[e, j].data_ptr()
            pairs.append(Pair(self._plane(j), plane(rows[e]), inner=products))
        native.call("cross", self.dtype, self.out_shape, pairs)
        return sums, inner

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
            for i, place in enumerate(self.halves[1].places)
        ]
        native.call("cross", self.dtype, self.out_shape, pairs)

    def _identities_backward(
        self, rows: Mapping[int, Tensor], source_grad: Tensor | None
    ) -> Tensor | None:
        """The gradient of the node with what the skip connections pass back."""
        scalars = self.extra.tolist()
        terms = [
            self._term(0, plane(rows[e]), None, scalars[e][j])
            for e, j in self.pooled
            if j in self.identities
        ]
        if not terms:
            return source_grad
        if source_grad is None:
            source_grad = torch.empty_like(self.source)
        else:
            terms.append(self._term(0, plane(source_grad), None, 1.0))
        native.call("mix", self.dtype, self.out_shape, [Result(plane(source_grad))], terms)
        return source_grad

    def _made_grads(self, rows: Mapping[int, Tensor]) -> list[Tensor]:
        if not self.made:
            return []
        made = [self._empty() for _ in self.made]
        ranks = {j: i for i, j in enumerate(self.made)}
        scalars = self.extra.tolist()
        terms = [
            self._term(ranks[j], plane(rows[e]), None, scalars[e][j])
            for e, j in self.pooled
            if j in ranks
        ]
        results = [Result(plane(grad)) for grad in made]
        native.call("mix", self.dtype, self.out_shape, results, terms)
        return [self._image(grad) for grad in made]

    def __del__(self) -> None:
        """Give the large tensors back once the graph is gone: no backward pass can follow."""
        if self.pools:
            BUFFERS.give(self.pools.values)
        for half in self.halves:
            BUFFERS.give(half.outputs)
            if half.half == 1:
                BUFFERS.give(half.source)
