"""What an architecture costs: of a module, of a relaxed sample, of a genotype, in one convention.

* **FLOPs** are multiply-adds of convolutions and linear layers, for one image, as papers on small
  networks count them. Normalisation, activation, pooling and sums are free.
* **params** are trainable weights.
* **memory** is the memory access cost of SNAS section 2.4: elements that the layers read and write
  for one image, weights included, each layer by itself.

All are counted on the part itself at its real shapes, on torch's meta device, so there is no
formula here. Latency comes from a table measured on a device (:mod:`snas_tune.space.latency`).

Shapes: ``L`` cells, ``T`` = 2 cell types, ``E`` edges of a cell, ``K`` candidate ops.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from snas_tune.space.cell.genotype import NONE, Genotype, cell_edges
from snas_tune.space.cell.layers import LayerSpec, example
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cell.supernet import full_plan

COUNTED = ("flops", "params", "memory")
"""Costs that are counted. ``latency_ms`` is measured."""


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


@functools.lru_cache(maxsize=4096)
def layer_cost(part: LayerSpec, affine: bool = False) -> Mapping[str, float]:
    """The counted costs of a part; of the op ``none`` they are 0, as it is never built."""
    if part.kind == "op" and part.name == NONE:
        return dict.fromkeys(COUNTED, 0)
    with torch.device("meta"):
        module = part.build(affine=affine)
    return module_cost(module, example(part, "meta"))


@dataclass(frozen=True, slots=True)
class CostTable:
    """One cost of every (cell, edge, op) of a supernet, and of what every architecture has.

    The cost of an architecture is ``fixed`` + the sum over cells and edges of the chosen ops:
    linear in the sample, so each edge pays its own share (SNAS section 2.4).
    """

    name: str
    """``flops``, ``params``, ``memory`` or ``latency_ms``."""

    per_cell: Tensor
    """Shape ``(L, E, K)``, float64."""

    kinds: tuple[int, ...]
    """Cell type of each of the ``L`` cells."""

    fixed: float
    """Of stem, preprocessing and classifier, no dead part removed."""

    def per_type(self) -> Tensor:
        """Summed over the cells of each type: shape ``(T, E, K)``."""
        table = torch.zeros(2, *self.per_cell.shape[1:], dtype=self.per_cell.dtype)
        return table.index_add(0, torch.tensor(self.kinds), self.per_cell)

    def largest(self) -> float:
        """Of an architecture that takes the largest op on every edge: no child costs more."""
        return self.fixed + float(self.per_type().amax(dim=-1).sum())

    def of_sample(self, sample: Tensor) -> Tensor:
        """Cost under a sample or any table of op weights ``(T, E, K)``; a scalar with gradient."""
        return self.fixed + (self.per_type().to(sample) * sample).sum()

    def expected(self, logits: Tensor) -> Tensor:
        """Exact expectation of the cost under ``softmax(logits)``; a scalar with gradient."""
        return self.of_sample(torch.softmax(logits, dim=-1))


def cost_table(
    name: str,
    skeleton: Skeleton,
    nodes: int,
    ops: Sequence[str],
    latency: Mapping[str, float] | None = None,
) -> CostTable:
    """Cost of every op on every edge of a supernet.

    Args:
        name: ``flops``, ``params``, ``memory`` or ``latency_ms``.
        skeleton: shapes of the network.
        nodes: intermediate nodes.
        ops: names of the candidate ops.
        latency: milliseconds by part key, for ``latency_ms``.

    Raises:
        ValueError: the latency table lacks a part.
    """
    plans = full_plan(skeleton, nodes)
    edges = cell_edges(nodes)
    rows = [
        [[_cost(name, skeleton.op(plan, op, source), latency) for op in ops] for source, _ in edges]
        for plan in plans
    ]
    parts = [part for _, part in skeleton.stem_stages()]
    parts += [skeleton.preprocess(p, source) for p in plans for source in p.sources if source]
    parts.append(skeleton.classifier(nodes * plans[-1].channels, plans[-1]))
    return CostTable(
        name,
        torch.tensor(rows, dtype=torch.float64),
        tuple(int(plan.reduction) for plan in plans),
        sum(_cost(name, part, latency) for part in parts),
    )


def genotype_cost(
    name: str,
    genotype: Genotype,
    skeleton: Skeleton,
    *,
    keep_dead: bool = False,
    affine: bool = False,
    latency: Mapping[str, float] | None = None,
) -> float:
    """Cost of the child network of a genotype, part by part.

    Args:
        name: ``flops``, ``params``, ``memory`` or ``latency_ms``.
        genotype: any genotype, a published one as well.
        skeleton: shapes of the network.
        keep_dead: count the parts that do not change the function, too. Then it equals the
            supernet's cost under the one-hot sample. In a partial network none is dead.
        affine: with the batch-norm weights of a child that is trained anew.
        latency: milliseconds by part key, for ``latency_ms``.
    """
    plan = skeleton.plan(genotype, keep_dead=keep_dead)
    return sum(_cost(name, part, latency, affine) for part in skeleton.parts(plan))


def _cost(
    name: str, part: LayerSpec, latency: Mapping[str, float] | None, affine: bool = False
) -> float:
    if name in COUNTED:
        return layer_cost(part, affine)[name]
    if part.kind == "op" and part.name == NONE:
        return 0.0
    if latency is None or part.key() not in latency:
        raise ValueError(f"latency table must have every part of the network, lacks {part.key()}")
    return latency[part.key()]
