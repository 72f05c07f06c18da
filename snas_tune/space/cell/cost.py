"""What networks of cells cost, counted layer by layer.

Shapes: ``L`` cells, ``C`` = 2 cell types x ``E`` edges of a cell, ``K`` candidate ops.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from snas_tune.space.cell.candidates import CELL_TYPES, Candidates
from snas_tune.space.cell.genotype import NONE, Genotype
from snas_tune.space.cell.layers import LayerSpec
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cost import COUNTED, LOG_SCALE, TableCost, module_cost


@functools.lru_cache(maxsize=4096)
def layer_cost(spec: LayerSpec, affine: bool = False) -> Mapping[str, float]:
    """The counted costs of a layer; of the op ``none`` they are 0, as it is never built."""
    if spec.kind == "op" and spec.name == NONE:
        return dict.fromkeys(COUNTED, 0)
    with torch.device("meta"):
        module = spec.build(affine=affine)
    return module_cost(module, spec.example("meta"))


class CellCost(TableCost):
    """One cost of every (cell, edge, op) of a supernet, and of the layers of every child.

    Args:
        name: ``flops``, ``params``, ``memory`` or ``latency_ms``.
        per_cell: shape ``(L, E, K)``, float64.
        kinds: cell type of each of the ``L`` cells.
        fixed: of stem, preprocessing and classifier, no dead part removed.
    """

    def __init__(self, name: str, per_cell: Tensor, kinds: tuple[int, ...], fixed: float) -> None:
        self.per_cell, self.kinds = per_cell, kinds
        table = self.by_choice(per_cell)
        super().__init__(name, table, torch.ones_like(table, dtype=torch.bool), fixed)

    def by_choice(self, per_cell: Tensor) -> Tensor:
        """Summed over the cells of each type: shape ``(C, K)``."""
        table = torch.zeros(len(CELL_TYPES), *per_cell.shape[1:], dtype=per_cell.dtype)
        return table.index_add(0, torch.tensor(self.kinds), per_cell).flatten(0, 1)

    def prices(self, form: str, weight: float = 1.0) -> Tensor:
        """As :meth:`Cost.prices`; ``log`` is relative to the mean cost of an op of the same cell.

        So every edge of every cell pays about equally.
        """
        return self.by_choice(self.prices_per_cell(form, weight))

    def prices_per_cell(self, form: str, weight: float = 1.0) -> Tensor:
        """The prices of the ops of every edge of every cell, ``(L, E, K)``."""
        cost = self.per_cell
        if not cost.any():
            return torch.zeros_like(cost)
        if form == "log":
            mean = cost.mean(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(cost.dtype).tiny)
            cost = torch.log1p(LOG_SCALE * cost / mean)
        return weight * cost / cost.mean(dim=2).sum()


def cell_cost(
    name: str, candidates: Candidates, latency: Mapping[str, float] | None = None
) -> CellCost:
    """Cost of every op on every edge of a supernet.

    Args:
        name: ``flops``, ``params``, ``memory`` or ``latency_ms``.
        candidates: skeleton, nodes and ops.
        latency: milliseconds by layer key, for ``latency_ms``.

    Raises:
        ValueError: the latency table lacks a layer.
    """
    skeleton, plans = candidates.skeleton, candidates.plans
    rows = [
        [
            [_cost(name, skeleton.op(plan, op, source), latency) for op in candidates.ops]
            for source, _ in candidates.pairs
        ]
        for plan in plans
    ]
    specs = [spec for _, spec in skeleton.stem_stages()]
    specs += [skeleton.preprocess(p, source) for p in plans for source in p.sources if source]
    specs.append(candidates.classifier(candidates.nodes))
    return CellCost(
        name,
        torch.tensor(rows, dtype=torch.float64),
        tuple(int(plan.reduction) for plan in plans),
        sum(_cost(name, spec, latency) for spec in specs),
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
    """Cost of the child network of a genotype, layer by layer.

    Args:
        name: ``flops``, ``params``, ``memory`` or ``latency_ms``.
        genotype: any genotype, a published one as well.
        skeleton: shapes of the network.
        keep_dead: count the layers that do not change the function, too. Then it equals the
            supernet's cost under the one-hot sample. In a partial network none is dead.
        affine: with the batch-norm weights of a child that is trained from scratch.
        latency: milliseconds by layer key, for ``latency_ms``.
    """
    plan = skeleton.plan(genotype, keep_dead=keep_dead)
    return sum(_cost(name, spec, latency, affine) for spec in skeleton.layers(plan))


def _cost(
    name: str, spec: LayerSpec, latency: Mapping[str, float] | None, affine: bool = False
) -> float:
    if name in COUNTED:
        return layer_cost(spec, affine)[name]
    if spec.kind == "op" and spec.name == NONE:
        return 0.0
    if latency is None or spec.key() not in latency:
        raise ValueError(f"latency table must have every layer of the network, lacks {spec.key()}")
    return latency[spec.key()]
