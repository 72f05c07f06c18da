"""The forward pass and the gradient of a node's out-edges, joined for torch's autograd."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from snas_tune.space.cell.fused.backward import gradients
from snas_tune.space.cell.fused.forward import messages
from snas_tune.space.cell.fused.saved import Saved
from snas_tune.space.cell.fused.weights import EdgeWeights, Sample, Source


def messages_by_kernels(
    weights: EdgeWeights, source: Source, sample: Sample
) -> list[Tensor | None]:
    """The message of every edge, ``(B, C, H', W')``; ``None`` where no op runs."""
    result: list[Tensor | None] = [None] * weights.edges
    ends = sorted({e for e, _ in (*sample.separable_runs, *sample.shared_runs)})
    if ends:
        made: tuple[Tensor, ...] = _Messages.apply(  # type: ignore[no-untyped-call]
            weights,
            source,
            sample,
            # The same tensors once more, as autograd looks for them among the arguments.
            source.x,
            sample.separable,
            sample.shared,
            *source.made.values(),
            *weights.parameters(),
        )
        for e, message in zip(ends, made, strict=True):
            result[e] = message
    return result


class _Messages(Function):
    @staticmethod
    def forward(
        ctx: Any, weights: EdgeWeights, source: Source, sample: Sample, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.saved = Saved(weights, source, sample)
        return tuple(messages(ctx.saved))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, None, None, *gradients(ctx.saved, grads))
