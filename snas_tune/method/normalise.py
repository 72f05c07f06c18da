"""Batch norm of a pointwise convolution, without a pass over what it normalises.

The batch norm of ``y = P d`` needs only the mean and the variance of ``y``, and these follow from
the moments of ``d``: ``mean(y) = P mean(d)`` and ``var(y) = diag(P cov(d) P^T)``. So convolution
and batch norm are one matrix, ``P / sqrt(var(y) + eps)``, and a bias; neither ``y`` nor its
normalised form is ever written. It is exact, not an approximation; the moments are in float64, so
nothing is lost by cancellation either.

Shapes: any leading ones, ``C`` channels; ``N`` pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-5
"""Of batch norm, torch's default, as in the ops themselves."""


@dataclass(frozen=True, slots=True)
class Normalised:
    """``matrix d + bias``, which is the batch norm of ``P d``.

    All in float64. Without moments it normalises by given statistics, as in evaluation.
    """

    pointwise: Tensor
    """``P``, ``(..., C, C)``."""

    mean: Tensor
    """Of ``P d``, ``(..., C)``."""

    variance: Tensor
    """Of ``P d``, biased, ``(..., C)``."""

    pixels: int = 0
    source_mean: Tensor | None = None
    """Of ``d``, ``(..., C)``."""

    mapped: Tensor | None = None
    """``P cov(d)``, ``(..., C, C)``."""

    @staticmethod
    def by_batch(pointwise: Tensor, sums: Tensor, products: Tensor, pixels: int) -> Normalised:
        """Normalise by the batch.

        Args:
            pointwise: ``P``, ``(..., C, C)``.
            sums: of ``d`` over the pixels, ``(..., C)``.
            products: of ``d d^T``, ``(..., C, C)``.
            pixels: ``N``.
        """
        source_mean = sums / pixels
        covariance = products / pixels - source_mean.unsqueeze(-1) * source_mean.unsqueeze(-2)
        mapped = pointwise @ covariance
        mean = (pointwise @ source_mean.unsqueeze(-1)).squeeze(-1)
        variance = (mapped * pointwise).sum(-1).clamp_min(0)
        return Normalised(pointwise, mean, variance, pixels, source_mean, mapped)

    @property
    def scale(self) -> Tensor:
        """``1 / sqrt(variance + eps)``, ``(..., C)``."""
        return torch.rsqrt(self.variance + EPS)

    @property
    def matrix(self) -> Tensor:
        """``(..., C out, C in)``."""
        return self.scale.unsqueeze(-1) * self.pointwise

    @property
    def bias(self) -> Tensor:
        """``(..., C)``."""
        return -self.scale * self.mean

    def backward(
        self, matrix_grad: Tensor, bias_grad: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Gradients of the pointwise weights and of the moments.

        Returns:
            That of ``P``; and by how much the gradient of a pixel's ``d`` grows through the
            moments: ``spread d + shift``, with ``spread`` ``(..., C, C)``. ``None`` in evaluation.
        """
        scale = self.scale
        scaled = scale.unsqueeze(-1) * matrix_grad
        if self.source_mean is None or self.mapped is None:
            return scaled, None, None
        scale_grad = (matrix_grad * self.pointwise).sum(-1) - bias_grad * self.mean
        variance_grad = -0.5 * scale**3 * scale_grad
        mean_grad = -scale * bias_grad
        weighted = variance_grad.unsqueeze(-1) * self.pointwise
        covariance_grad = self.pointwise.mT @ weighted
        pointwise_grad = (
            scaled
            + mean_grad.unsqueeze(-1) * self.source_mean.unsqueeze(-2)
            + 2 * variance_grad.unsqueeze(-1) * self.mapped
        )
        source_grad = (self.pointwise.mT @ mean_grad.unsqueeze(-1)).squeeze(-1)
        source_grad -= 2 * (covariance_grad @ self.source_mean.unsqueeze(-1)).squeeze(-1)
        return pointwise_grad, covariance_grad * (2 / self.pixels), source_grad / self.pixels
