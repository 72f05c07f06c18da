"""What an architecture costs: of a module, of a relaxed sample, in one convention.

* **FLOPs** are multiply-adds of convolutions and linear layers, for one image, as papers on small
  networks count them. Normalisation, activation, pooling and sums are free.
* **params** are trainable weights.
* **memory** is the memory access cost of SNAS section 2.4: elements that the layers read and write
  for one image, weights included, each layer by itself.

All are counted on the module itself at its real shapes, on torch's meta device, so there is no
formula here. Latency comes from a table measured on a device (:mod:`snas_tune.space.latency`).

Shapes: ``C`` choices, ``K`` options of the choice that has most.
"""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

COUNTED = ("flops", "params", "memory")
"""Costs that are counted. ``latency_ms`` is measured."""

LOG_SCALE = 100.0
"""How far below the mean cost an option's price falls to nothing in the log form."""


def module_cost(module: nn.Module, image: Tensor) -> dict[str, float]:
    """Count a module on one input.

    Args:
        module: any module; it is copied to the meta device, nothing is computed.
        image: the input, with batch size 1. Only its shape matters.

    Returns:
        ``flops``, ``params`` and ``memory``, see the module's docstring.
    """
    module = copy.deepcopy(module).to("meta").eval()
    memory = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal memory
        memory += sum(x.numel() for x in inputs) + output.numel()
        memory += sum(p.numel() for p in layer.parameters())

    for layer in module.modules():
        if not any(True for _ in layer.children()):
            layer.register_forward_hook(count)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(image.to("meta"))
    return {
        # torch counts the multiply and the add apart.
        "flops": counter.get_total_flops() // 2,
        "params": sum(p.numel() for p in module.parameters()),
        "memory": memory,
    }


Prices = Callable[[float], Tensor]
"""Prices of one cost, multiplied by a number."""


def combined(prices: Mapping[str, Prices], weights: Mapping[str, float]) -> Tensor:
    """Prices of several costs as those of one.

    Args:
        prices: by name of the cost, each of uniform expectation 1, or 0 where no choice changes it.
        weights: by name of the cost; those of the prices that are not 0 are scaled to sum to 1.

    Raises:
        ValueError: all prices are 0, so there is nothing to penalise.
    """
    priced = {name: times for name, times in prices.items() if times(1.0).any()}
    if not priced:
        names = ", ".join(prices)
        raise ValueError(f"options must differ in {names} to be penalised, got 0 for all")
    total = sum(weights[name] for name in priced)
    tables = [times(weights[name] / total) for name, times in priced.items()]
    return functools.reduce(torch.add, tables)


class Cost(ABC):
    """One cost of every architecture of a space."""

    name: str
    """``flops``, ``params``, ``memory`` or ``latency_ms``."""

    fixed: float
    """The part that no choice changes."""

    @abstractmethod
    def of_sample(self, sample: Tensor) -> Tensor:
        """Cost under a sample or any weights ``(C, K)``; a scalar with gradient."""

    def expected(self, logits: Tensor) -> Tensor:
        """Exact expectation of the cost under ``softmax(logits)``; a scalar with gradient."""
        return self.of_sample(torch.softmax(logits, dim=-1))

    @abstractmethod
    def prices(self, form: str, weight: float = 1.0) -> Tensor:
        """The price of every option, ``(C, K)``, float64: the penalty is their sum by the sample.

        They are scaled so that their uniform expectation is the weight; all are 0 where no choice
        changes the cost.

        Args:
            form: ``linear`` or ``log`` in the cost of an option.
            weight: their uniform expectation.
        """

    @abstractmethod
    def largest(self) -> float:
        """The cost of the largest child of the supernet."""


class TableCost(Cost):
    """A cost that is linear in the sample: fixed, and a number for each option.

    So each choice pays its own share (SNAS section 2.4).

    Args:
        name: of the cost.
        table: shape ``(C, K)``, float64.
        mask: which entries of the table are options.
        fixed: of the parts that no choice changes.
    """

    def __init__(self, name: str, table: Tensor, mask: Tensor, fixed: float) -> None:
        self.name, self.table, self.mask, self.fixed = name, table, mask, fixed

    def of_sample(self, sample: Tensor) -> Tensor:
        """As :meth:`Cost.of_sample`."""
        return self.fixed + (self.table.to(sample) * sample).sum()

    def prices(self, form: str, weight: float = 1.0) -> Tensor:
        """As :meth:`Cost.prices`; ``log`` is relative to the mean cost of an option."""
        cost = self.table
        if form == "log":
            mean = cost[self.mask].mean().clamp_min(torch.finfo(cost.dtype).tiny)
            cost = torch.log1p(LOG_SCALE * cost / mean)
        uniform = ((cost * self.mask).sum(1) / self.mask.sum(1)).sum()
        return weight * cost / uniform if uniform else torch.zeros_like(cost)

    def largest(self) -> float:
        """As :meth:`Cost.largest`."""
        options = self.table.masked_fill(~self.mask, float("-inf"))
        return self.fixed + float(options.amax(dim=-1).sum())
