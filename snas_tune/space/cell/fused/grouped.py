"""The messages of a node's out-edges through torch's operators, where there are no kernels.

Each separable op runs once for all its edges, as grouped convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from snas_tune.space.cell.fused.weights import EPS, MOMENTUM, EdgeWeights, Sample
from snas_tune.space.cell.node import added


def messages_by_torch(
    weights: EdgeWeights, x: Tensor, made: Mapping[int, Tensor], sample: Sample
) -> list[Tensor | None]:
    """The message of every edge, ``(B, C, H', W')``; ``None`` where no op runs.

    Args:
        weights: of the out-edges.
        x: the node, ``(B, C, H, W)``.
        made: results of the shared ops that run on any edge, by position.
        sample: of the architecture.
    """
    messages: list[Any] = [None] * weights.edges
    for e, j in sample.shared_runs:
        messages[e] = added(messages[e], sample.shared[e, j] * made[j])
    rectified = F.relu(x) if sample.separable_runs else x
    for q in range(weights.ops):
        edges = [e for e, other in sample.separable_runs if other == q]
        if not edges:
            continue
        y = rectified.repeat(1, len(edges), 1, 1)
        for stage in range(2 if q < weights.two_stage else 1):
            y = _stage(weights, F.relu(y) if stage else y, stage, q, edges)
        for e, message in zip(edges, y.split(weights.channels, dim=1), strict=True):
            messages[e] = added(messages[e], sample.separable[e, q] * message)
    return messages


def _stage(weights: EdgeWeights, y: Tensor, index: int, q: int, edges: Sequence[int]) -> Tensor:
    """Depthwise convolution, pointwise convolution and batch norm of an op, for some edges."""
    stage, channels = weights.stages[index], weights.channels
    depthwise, width = stage.depthwise[q], len(edges) * channels
    kernel, dilation = depthwise.kernel, depthwise.dilation
    # All edges are a slice, not a list: its gradient is not scattered, and nothing is copied.
    picked: Any = slice(None) if len(edges) == weights.edges else list(edges)
    stride = weights.stride if index == 0 else 1
    weight = depthwise.weight[picked].reshape(-1, 1, kernel, kernel)
    y = F.conv2d(y, weight, None, stride, dilation * (kernel - 1) // 2, dilation, width)
    weight = stage.pointwise[q][picked].reshape(-1, channels, 1, 1)
    y = F.conv2d(y, weight, None, groups=len(edges))
    if weights.training and not weights.track_running_stats:
        return F.batch_norm(y, None, None, training=True, eps=EPS)
    # Copies: autograd keeps these tensors, and would see the other ops write to one buffer.
    running = stage.statistics
    mean, variance = (
        each[q, picked].flatten().clone() for each in (running.mean, running.variance)
    )
    y = F.batch_norm(y, mean, variance, None, None, weights.training, MOMENTUM, EPS)
    if weights.training:
        running.mean[q, picked] = mean.view(-1, channels)
        running.variance[q, picked] = variance.view(-1, channels)
        running.batches[q, picked] += 1
    return y
