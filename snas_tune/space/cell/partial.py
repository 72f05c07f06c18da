"""Partial channels: some channels of a node go through the ops of its edges, the others pass by.

PC-DARTS (Xu et al., ICLR 2020, https://arxiv.org/abs/1907.05737, section 3.1). An edge gives
``shuffle(cat(mixed op of the first C/K channels of x_i, the other channels of x_i))``. Both are
linear, so they are done once for a node and not for every edge:
``x_j = shuffle(cat(sum_i messages, sum_i what passes by))``. Shapes: ``B`` images, ``C`` channels
of a node, of which one in ``K`` goes through the ops.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Bypass:
    """What passes by the ops of one cell, while the cell is computed node by node.

    Every node has an edge from each node before it, so all that was split off before a node passes
    by to it: a running sum.

    Args:
        partial: ``K``. Of 1 nothing passes by, and a node is the sum of its messages.
    """

    def __init__(self, partial: int) -> None:
        self.partial = partial
        self.passed: Tensor | None = None

    def split(self, x: Tensor, stride: int = 1) -> Tensor:
        """What the ops read of a node, ``(B, C/K, H, W)``; the other channels pass by from here on.

        At stride 2 they go through a 2x2 max pooling whose side is ``ceil(side / 2)``, as that of
        the strided ops.

        Args:
            x: the node, ``(B, C, H, W)``.
            stride: of the edges that leave it.
        """
        if self.partial == 1:
            return x
        read = x.shape[1] // self.partial
        rest = x[:, read:]
        if stride == 2:
            rest = F.max_pool2d(rest, 2, ceil_mode=True)
        self.passed = rest if self.passed is None else self.passed + rest
        return x[:, :read].clone()  # dense, in the memory format of x, once for all ops

    def join(self, messages: Tensor) -> Tensor:
        """A node, ``(B, C, H, W)``.

        Args:
            messages: the sum of what the ops of its edges give, ``(B, C/K, H, W)``.
        """
        if self.passed is None:
            return messages
        return F.channel_shuffle(torch.cat([messages, self.passed], dim=1), self.partial)
