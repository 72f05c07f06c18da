"""One stage of the separable ops on one batch: depthwise, pointwise convolution, batch norm.

**Batch norm without a pass over its input.** A stage is ``d = depthwise(relu(x))``, ``y = P d``,
``z = w (y - mean(y)) / sqrt(var(y) + eps)``. As ``y`` is linear in ``d``, its moments follow from
those of ``d``: ``mean(y) = P mean(d)`` and ``var(y) = diag(P cov(d) P^T)``. So a stage ends in one
matrix and one bias, ``z = d M + b`` for a pixel's row ``d``, with ``s = 1 / sqrt(var(y) + eps)``:

    M = w P^T diag(s),  (C in, C out);    b = -w s * mean(y),  (C,)

Neither ``y`` nor its normalised form is ever written. It is exact, no approximation; the moments
are in float64, so nothing is lost by cancellation. The arithmetic is in ``kernels/``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snas_tune.space.cell.fused.weights import EPS, EdgeOp, EdgeWeights
from snas_tune.space.cell.kernels import bindings
from snas_tune.space.cell.kernels.bindings import Branch, Input, Norm, Shape, Slice, plane
from snas_tune.space.cell.kernels.buffers import BUFFERS


class Stage:
    """One stage of the separable ops of a node's out-edges, on one batch.

    ``outputs`` are planes ``(pixels, C)`` of ``d``, one for every op in ``runs``. The second stage
    reads plane by plane the results of the first. An op that does not run has gradient 0.

    Args:
        weights: of the out-edges.
        index: 0 or 1.
        runs: the ops that run.
        source: input of the depthwise kernels: the node ``(pixels, C)``, or a plane for every op.
        shape: of the source.
        factors: ``w``, by which the matrix of every op is multiplied, ``(E, Q)``, float64.
        biases: to which ``b`` of every op is added, ``(C,)``, float64.
    """

    def __init__(
        self,
        weights: EdgeWeights,
        index: int,
        runs: Sequence[EdgeOp],
        source: Tensor,
        shape: Shape,
        factors: Tensor,
        biases: Mapping[EdgeOp, Tensor],
    ) -> None:
        self.index, self.source, self.shape, self.factors = index, source, shape, factors
        self.runs, self.training = list(runs), weights.training
        self._planes = {run: i for i, run in enumerate(runs)}
        own = weights.stages[index]
        self.kernels = [(d.kernel, d.dilation, _dense(d.weight)) for d in own.depthwise]
        self.pointwise, self.dtype = _dense(own.pointwise), source.dtype
        self.out_shape = output_shape(shape)
        self.pixels = pixels_of(self.out_shape)
        self.outputs = BUFFERS.take((len(runs), self.pixels, weights.channels), self.dtype)
        wide, width = torch.float64, weights.channels
        square = (weights.edges, len(self.kernels), width, width)
        # Moments of d: its sum over the pixels, and the sum of d^T d.
        self.sums = torch.empty(square[:-1], dtype=wide)
        self.products = torch.empty(square, dtype=wide)
        self.matrices = torch.empty(square, dtype=self.dtype)
        """``M`` of every op, ``(C in, C out)``."""
        self._kept = torch.empty(*square[:2], (3 + width) * width, dtype=wide)
        self._convolve()
        self._normalise(weights, biases)

    def output(self, edge: int, op: int) -> Slice:
        """The depthwise output ``d`` of an op."""
        return plane(self.outputs, self._planes[edge, op])

    def _branches(self) -> dict[EdgeOp, Branch]:
        return {
            (e, q): Branch(
                # The first stage reads the node, the second the results of the first.
                input=0 if self.index == 0 else self._planes[e, q],
                kernel=self.kernels[q][0],
                dilation=self.kernels[q][1],
                weight=self.kernels[q][2][e].data_ptr(),
                output=self.output(e, q),
            )
            for e, q in self.runs
        }

    def _inputs(self, grad: Tensor) -> list[Input]:
        count = 1 if self.index == 0 else len(self.source)
        return [Input(plane(self.source, i), plane(grad, i)) for i in range(count)]

    def _convolve(self) -> None:
        """``d = depthwise(relu(x))``; in training also its moments."""
        branches = self._branches()
        if self.training:
            for run, branch in branches.items():
                branch.sums = self.sums[run].data_ptr()
                branch.products = self.products[run].data_ptr()
        inputs = self._inputs(self.source)  # the gradients are not touched
        bindings.call("depthwise_forward", self.dtype, self.shape, inputs, list(branches.values()))

    def _norms(self) -> dict[EdgeOp, Norm]:
        factors = self.factors.tolist()
        return {
            (e, q): Norm(
                pointwise=self.pointwise[q, e].data_ptr(),
                sums=self.sums[e, q].data_ptr() if self.training else None,
                products=self.products[e, q].data_ptr(),
                weight=factors[e][q],
                kept=self._kept[e, q].data_ptr(),
            )
            for e, q in self.runs
        }

    def _normalise(self, weights: EdgeWeights, biases: Mapping[EdgeOp, Tensor]) -> None:
        """``M`` and ``b`` from the moments, or in evaluation from the running statistics."""
        statistics = weights.stages[self.index].statistics
        norms = self._norms()
        for (e, q), norm in norms.items():
            norm.running_mean = statistics.mean[q, e].data_ptr()
            norm.running_variance = statistics.variance[q, e].data_ptr()
            norm.matrix = self.matrices[e, q].data_ptr()
            norm.bias = biases[e, q].data_ptr()
        numbers = (float(self.pixels), EPS, weights.momentum)
        bindings.call("normalise", self.dtype, self.out_shape, *numbers, list(norms.values()))
        if self.training and weights.track_running_stats:
            edges, ops = zip(*self.runs, strict=True)
            statistics.batches[list(ops), list(edges)] += 1

    def backward(
        self, grad: Tensor, grads: Sequence[Slice], matrix_grad: Tensor, bias_grad: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The gradient of the source, into ``grad``; of the factors; of all weights.

        Args:
            grad: of the shape of the source.
            grads: gradient of ``z`` of every op, in the order of ``runs``.
            matrix_grad: gradient of :attr:`matrices`, float64.
            bias_grad: of the biases, ``(E, Q, C)``, float64.

        Returns:
            Gradient of the factors, ``(E, Q)``; of the weights, as ``StageWeights.parameters``.
        """
        # d of a pixel has three ways to the loss: z = d M + b itself, and both moments of d.
        #     dL/dd = (dL/dz) M^T + d S + t,    S = 2 dL/dcov(d) / N,    t = dL/dmean(d) / N,
        # where dL/dmean(d) is through mean(y) and through cov(d) = E[d^T d] - mean(d)^T mean(d).
        # The first kernel makes S and t (spread, shift), dL/dP and dL/dw; the second dL/dd.
        spread, shift = torch.empty_like(self.matrices), self.matrices.new_empty(self.sums.shape)
        # The kernels write the gradients of the ops that ran.
        every = len(self.runs) == self.sums.shape[:2].numel()
        fresh = torch.empty_like if every else torch.zeros_like
        pointwise_grad, factors_grad = fresh(self.pointwise), fresh(self.factors)
        norms = self._norms()
        for (e, q), norm in norms.items():
            norm.matrix_grad = matrix_grad[e, q].data_ptr()
            norm.bias_grad = bias_grad[e, q].data_ptr()
            norm.weight_grad = factors_grad[e, q].data_ptr()
            norm.pointwise_grad = pointwise_grad[q, e].data_ptr()
            norm.spread, norm.shift = spread[e, q].data_ptr(), shift[e, q].data_ptr()
        pixels = float(self.pixels)
        rows = list(norms.values())
        bindings.call("normalise_backward", self.dtype, self.out_shape, pixels, rows)
        kernel_grads = [fresh(weight) for *_, weight in self.kernels]
        branches = self._branches()
        for ((e, q), branch), behind in zip(branches.items(), grads, strict=True):
            branch.grad = behind
            branch.matrix = self.matrices[e, q].data_ptr()
            branch.weight_grad = kernel_grads[q][e].data_ptr()
            if self.training:  # running statistics are constants
                branch.spread, branch.shift = spread[e, q].data_ptr(), shift[e, q].data_ptr()
        inputs = self._inputs(grad)
        bindings.call("depthwise_backward", self.dtype, self.shape, inputs, list(branches.values()))
        return factors_grad, [pointwise_grad, *kernel_grads]


def output_shape(shape: Shape) -> Shape:
    """The shape of depthwise outputs and messages: sides are ``ceil(side / stride)``."""
    height, width = -(-shape.height // shape.stride), -(-shape.width // shape.stride)
    return Shape(shape.batch, height, width, shape.channels, 1, 1, shape.threads)


def pixels_of(shape: Shape) -> int:
    """Pixels of a batch."""
    pixels: int = shape.batch * shape.height * shape.width
    return pixels


def _dense(weight: Tensor) -> Tensor:
    return weight.detach().contiguous()
