"""A node as the sum of its in-edges' messages, in the plain and in the fused supernet."""

from __future__ import annotations

import torch
from torch import Tensor


def added(total: Tensor | None, term: Tensor) -> Tensor:
    """A running sum that may not have begun."""
    return term if total is None else total + term


def kept(message: Tensor, keep: Tensor | None, edge: int) -> Tensor:
    """An edge's message behind drop path.

    Args:
        message: shape ``(B, C, H, W)``.
        keep: factor of every edge and image, ``(E, B)``; no drop path if not given.
        edge: position of the edge in the cell.
    """
    if keep is None:
        return message
    return message * keep[edge].view(-1, 1, 1, 1).to(message.dtype)


def empty_node(source: Tensor, stride: int) -> Tensor:
    """A node that no op reaches: zeros of the size of a message from ``source``."""
    return torch.zeros_like(source[:, :, ::stride, ::stride])
