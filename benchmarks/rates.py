"""The least time of a supernet's step by the arithmetic of this machine; and how work is timed."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from snas_tune.config import SearchConfig
from snas_tune.space.cell.space import CellSpace
from snas_tune.space.space import ImageShape


def floor_of(size: dict[str, int], device: torch.device) -> dict[str, float]:
    """Multiply-adds of a step in which every op runs, and the machine's rates.

    The backward pass is counted as twice the forward pass: of every convolution, the gradient of
    its input and of its weights. The rates are the best of several: of a product of two matrices,
    and of copying memory far larger than the caches (bytes read plus bytes written).
    """
    config = SearchConfig(cells=size["cells"], channels=size["channels"], nodes=size["nodes"])
    cost = CellSpace(config, ImageShape(size["side"], size["colours"], 10)).cost("flops")
    macs = 3 * size["batch"] * (cost.per_cell.sum().item() + cost.fixed)
    matrix = torch.randn(2048, 2048, device=device)
    block = torch.empty(2**26, device=device)
    other = torch.empty_like(block)
    product = min(seconds(lambda: matrix @ matrix, device) for _ in range(8))
    copy = min(seconds(lambda: other.copy_(block), device) for _ in range(8))
    return {
        "giga_multiply_adds": macs / 1e9,
        "giga_multiply_adds_per_second": 2048**3 / product / 1e9,
        "gigabytes_per_second": 2 * block.numel() * 4 / copy / 1e9,
        "floor_milliseconds": 1000 * macs * product / 2048**3,
    }


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of some work, from an idle device to an idle device."""
    finish(device)
    start = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - start


def finish(device: torch.device) -> None:
    """Wait until a GPU is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize()
