"""Large tensors that are used again: a step needs the same ones as the step before it."""

from __future__ import annotations

import ctypes
import math
import sys

import torch
from torch import Tensor


class Buffers:
    """Tensors that were given back, by size and data type.

    Fresh memory costs a page fault for every few kilobytes, on large batches as much time as the
    arithmetic. So memory that is given back is kept, as a GPU's allocator does, and large pages are
    asked for where the system has them.
    """

    def __init__(self) -> None:
        self._free: dict[tuple[int, torch.dtype], list[Tensor]] = {}

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor."""
        size = math.prod(shape)
        free = self._free.get((size, dtype))
        if free:
            return free.pop().view(shape)
        fresh = torch.empty(size, dtype=dtype)
        _ask_for_large_pages(fresh)
        return fresh.view(shape)

    def give(self, tensor: Tensor) -> None:
        """Take back a tensor that nothing reads any more."""
        self._free.setdefault((tensor.numel(), tensor.dtype), []).append(tensor.view(-1))

    def clear(self) -> None:
        """Release everything that was given back."""
        self._free.clear()


BUFFERS = Buffers()
"""Of this process; a step gives back all that it took."""


def _ask_for_large_pages(buffer: Tensor) -> None:
    page, advice = 1 << 21, 14  # 2 MiB, and MADV_HUGEPAGE of Linux
    size = buffer.numel() * buffer.element_size()
    start = -(-buffer.data_ptr() // page) * page
    length = (buffer.data_ptr() + size - start) // page * page
    if sys.platform == "linux" and length > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice)
