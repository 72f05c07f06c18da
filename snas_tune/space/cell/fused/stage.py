"""One half of a fan's separable ops on one batch, through the native kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snas_tune.space.cell.kernels import bindings as native
from snas_tune.space.cell.kernels.bindings import Branch, Input, Norm, Shape, plane

if TYPE_CHECKING:
    from snas_tune.space.cell.fused.edges import Fan

EPS = 1e-5
"""Of batch norm, torch's default, as in the ops themselves."""

MOMENTUM = 0.1
"""Of batch norm's running statistics, likewise."""

Place = tuple[int, int]
"""Edge and op of a fan."""

BUFFERS = native.Buffers()
"""Of this process; a step gives back what it took."""


class Half:
    """One half of a fan's separable ops on one batch.

    ``outputs`` are planes ``(pixels, C)``, one for every place in ``places``. The second half reads
    plane by plane what was made of the planes of the first. What does not run has gradient 0.

    Args:
        fan: whose ops they are.
        half: 0 or 1.
        places: edge and op of those that run.
        source: what the kernels read: the node ``(pixels, C)``, or a plane for every place.
        shape: of the source.
        weights: what the matrix of every op is multiplied by, ``(E, Q)``.
        biases: to which the bias of every op is added, ``(C,)``, float64, by edge and op.
    """

    def __init__(
        self,
        fan: Fan,
        half: int,
        places: Sequence[Place],
        source: Tensor,
        shape: Shape,
        weights: Tensor,
        biases: Callable[[int, int], Tensor],
    ) -> None:
        self.fan, self.half, self.source, self.shape = fan, half, source, shape
        self.places = list(places)
        self._planes = {place: i for i, place in enumerate(places)}
        self.kernels = [(k, d, weight.detach().contiguous()) for k, d, weight in fan.kernels(half)]
        self.pointwise = fan.pointwise[half].detach().contiguous()
        self.dtype, self.training = source.dtype, fan.training
        self.ops, self.width, edges = len(self.kernels), fan.channels, fan.edge_count
        height, width = -(-shape.height // shape.stride), -(-shape.width // shape.stride)
        self.out_shape = Shape(shape.batch, height, width, shape.channels, 1, 1, shape.threads)
        self.pixels = shape.batch * height * width
        self.outputs = BUFFERS.take((len(places), self.pixels, self.width), self.dtype)
        wide = torch.float64
        square = (edges, self.ops, self.width, self.width)
        self.sums = torch.empty(square[:-1], dtype=wide)
        self.products = torch.empty(square, dtype=wide)
        self.matrices = torch.empty(square, dtype=self.dtype)
        """``(C in, C out)`` of every op: pointwise convolution, batch norm and weight."""
        self.kept = torch.empty(edges, self.ops, (3 + self.width) * self.width, dtype=wide)
        self.weights = weights
        self._convolve()
        self._normalise(biases)

    def slice(self, edge: int, op: int) -> Any:
        """Where the depthwise output of an op lies."""
        return plane(self.outputs, self._planes[edge, op])

    def _branches(self) -> dict[Place, Branch]:
        return {
            (e, q): Branch(
                # The first half reads the node, the second what the first made of it.
                input=0 if self.half == 0 else self._planes[e, q],
                kernel=self.kernels[q][0],
                dilation=self.kernels[q][1],
                weight=self.kernels[q][2][e].data_ptr(),
                output=self.slice(e, q),
            )
            for e, q in self.places
        }

    def _inputs(self, grad: Tensor) -> list[Input]:
        count = 1 if self.half == 0 else len(self.source)
        return [Input(plane(self.source, i), plane(grad, i)) for i in range(count)]

    def _convolve(self) -> None:
        branches = self._branches()
        if self.training:
            for place, branch in branches.items():
                branch.sums = self.sums[place].data_ptr()
                branch.products = self.products[place].data_ptr()
        inputs = self._inputs(self.source)  # the gradients are not touched
        native.call("depthwise_forward", self.dtype, self.shape, inputs, list(branches.values()))

    def _norms(self) -> dict[Place, Norm]:
        weights = self.weights.tolist()
        return {
            (e, q): Norm(
                pointwise=self.pointwise[q, e].data_ptr(),
                sums=self.sums[e, q].data_ptr() if self.training else None,
                products=self.products[e, q].data_ptr(),
                weight=weights[e][q],
                kept=self.kept[e, q].data_ptr(),
            )
            for e, q in self.places
        }

    def _normalise(self, biases: Callable[[int, int], Tensor]) -> None:
        mean, variance, batches = self.fan.statistics(self.half)
        norms = self._norms()
        for (e, q), norm in norms.items():
            norm.running_mean = mean[q, e].data_ptr()
            norm.running_variance = variance[q, e].data_ptr()
            norm.matrix = self.matrices[e, q].data_ptr()
            norm.bias = biases(e, q).data_ptr()
        track = self.fan.track_running_stats
        numbers = (float(self.pixels), EPS, MOMENTUM if track else 0.0)
        native.call("normalise", self.dtype, self.out_shape, *numbers, list(norms.values()))
        if self.training and track:
            edges, ops = zip(*self.places, strict=True)
            batches[list(ops), list(edges)] += 1

    def backward(
        self, grad: Tensor, grads: Sequence[Any], matrix_grad: Tensor, bias_grad: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The gradient of the source, into ``grad``; of the sample's weights; of all weights.

        Args:
            grad: of the shape of the source.
            grads: slice of the gradient behind every op, in the order of ``places``.
            matrix_grad: gradient of :attr:`matrices`, float64.
            bias_grad: of the biases, ``(E, Q, C)``, float64.
        """
        spread, shift = torch.empty_like(self.matrices), self.matrices.new_empty(self.sums.shape)
        # The kernels write the gradients of what ran.
        fresh = (
            torch.empty_like
            if len(self.places) == self.sums.shape[:2].numel()
            else torch.zeros_like
        )
        pointwise_grad = fresh(self.pointwise)
        weights_grad = fresh(self.weights)
        norms = self._norms()
        for (e, q), norm in norms.items():
            norm.matrix_grad = matrix_grad[e, q].data_ptr()
            norm.bias_grad = bias_grad[e, q].data_ptr()
            norm.weight_grad = weights_grad[e, q].data_ptr()
            norm.pointwise_grad = pointwise_grad[q, e].data_ptr()
            norm.spread, norm.shift = spread[e, q].data_ptr(), shift[e, q].data_ptr()
        pixels = float(self.pixels)
        native.call("normalise_backward", self.dtype, self.out_shape, pixels, list(norms.values()))
        kernel_grads = [fresh(weight) for *_, weight in self.kernels]
        branches = self._branches()
        for ((e, q), branch), behind in zip(branches.items(), grads, strict=True):
            branch.grad = behind
            branch.matrix = self.matrices[e, q].data_ptr()
            branch.weight_grad = kernel_grads[q][e].data_ptr()
            if self.training:
                branch.spread, branch.shift = spread[e, q].data_ptr(), shift[e, q].data_ptr()
        native.call(
            "depthwise_backward",
            self.dtype,
            self.shape,
            self._inputs(grad),
            list(branches.values()),
        )
        return weights_grad, [pointwise_grad, *kernel_grads]
