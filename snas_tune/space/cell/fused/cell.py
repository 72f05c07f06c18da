"""The fast supernet: the same function as the plain one, with a fraction of the work.

It holds the weights of the edges that leave one node together, in a :class:`Fan`. What an edge does
not add to (pooling, the skip connection) is made once for the node; ops that are neither separable
nor free of weights run edge by edge, as in the plain form. Outputs and gradients are those of
:class:`snas_tune.space.cell.supernet.SearchCell`; ``Supernet.named_tensors`` and ``load_tensors``
convert weights both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snas_tune.space.cell.fused.edges import Fan, Separable, Shared
from snas_tune.space.cell.genotype import INPUTS, NONE, cell_edges
from snas_tune.space.cell.ops import OPS
from snas_tune.space.cell.partial import Bypass
from snas_tune.space.cell.plan import CellPlan
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cell.supernet import added, empty_node, kept


class NodeFan(nn.Module):
    """Everything that leaves one node of a cell.

    Args:
        skeleton: shapes of the network.
        plan: of the cell.
        ops: names of the candidate ops.
        source: the node.
        edges: positions of its edges in the cell, ascending.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        plan: CellPlan,
        ops: Sequence[str],
        source: int,
        edges: Sequence[int],
    ) -> None:
        super().__init__()
        self.edge_list, self.op_count = list(edges), len(ops)
        self.shared = nn.ModuleDict()
        self.own = nn.ModuleDict()
        separable = []
        for op in ops:
            if op == NONE:
                continue
            if OPS[op].halves:
                separable.append(Separable(op, OPS[op].halves))
                continue
            module = skeleton.op(plan, op, source).build(affine=False)
            if not any(True for _ in module.parameters()):
                self.shared[op] = module  # of the node alone, so the same for every edge
                continue
            self.own[op] = nn.ModuleList(
                [module, *(skeleton.op(plan, op, source).build(affine=False) for _ in edges[1:])]
            )
        part = skeleton.op(plan, NONE, source)
        self.fan = Fan(part.channels_in, len(edges), separable, part.stride)
        places = [[op.name for op in self.fan.ops], list(self.shared), list(self.own)]
        self.positions = [[ops.index(name) for name in names] for names in places]

    def op_tensors(self, edge: int, op: str) -> dict[str, Tensor]:
        """Weights and statistics of an op, by their names in its own module; ``edge`` of the fan.

        Raises:
            ValueError: the op is not one of the search.
        """
        names = [each.name for each in self.fan.ops]
        if op in names:
            return self.fan.op_tensors(edge, names.index(op))
        if op in self.shared:
            return self.shared[op].state_dict()
        if op in self.own:
            modules = self.own[op]
            assert isinstance(modules, nn.ModuleList)
            return dict(modules[edge].state_dict())
        known = ", ".join([*names, *self.shared, *self.own])
        raise ValueError(f"op must be one of {known}, got {op!r}")

    def forward(
        self, x: Tensor, sample: Tensor, active: Sequence[Sequence[int]] | None
    ) -> list[Tensor | None]:
        """The message of every edge; ``None`` where no op but ``none`` runs.

        Args:
            x: what the ops read of the node, ``(B, C, H, W)``.
            sample: of all edges of the cell, ``(E, K)``.
            active: of all edges, the positions of the ops that run; all if not given.
        """
        mine = sample[self.edge_list]
        weights, extra, own = (mine[:, places] for places in self.positions)
        runs = [range(self.op_count) if active is None else active[e] for e in self.edge_list]
        separable, pooled, single = (
            [(e, i) for e, ops in enumerate(runs) for i, k in enumerate(places) if k in ops]
            for places in self.positions
        )
        shared = [
            Shared(op, OPS[name].pool, isinstance(op, nn.Identity))
            for name, op in self.shared.items()
        ]
        messages: list[Any] = self.fan(x, weights, separable, shared, extra, pooled)
        alone: list[Any] = list(self.own.values())
        for e, i in single:
            messages[e] = added(messages[e], own[e, i] * alone[i][e](x))
        return messages


class FastCell(nn.Module):
    """A cell with every edge, node by node; the same function as ``SearchCell``."""

    def __init__(self, skeleton: Skeleton, plan: CellPlan, ops: Sequence[str]) -> None:
        super().__init__()
        self.partial = skeleton.partial
        self.preprocess = nn.ModuleList(
            skeleton.preprocess(plan, source).build(affine=False)
            for source in plan.sources
            if source is not None
        )
        self.nodes, self.stride = plan.cell.nodes, plan.stride(0)
        self.pairs = cell_edges(self.nodes)
        self.fans = nn.ModuleList(
            NodeFan(
                skeleton, plan, ops, node, [e for e, (s, _) in enumerate(self.pairs) if s == node]
            )
            for node in range(INPUTS + self.nodes - 1)
        )

    def op_tensors(self, edge: int, op: str) -> dict[str, Tensor]:
        """As ``SearchCell.op_tensors``."""
        fan = self.fans[self.pairs[edge][0]]
        assert isinstance(fan, NodeFan)
        return fan.op_tensors(fan.edge_list.index(edge), op)

    def forward(
        self,
        inputs: Sequence[Tensor],
        sample: Tensor,
        keep: Tensor | None,
        active: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """Compute the cell; the arguments are those of ``SearchCell``."""
        bypass = Bypass(self.partial)
        sources = [
            bypass.split(preprocess(x), self.stride)
            for preprocess, x in zip(self.preprocess, inputs, strict=True)
        ]
        nodes: list[Tensor] = []
        totals: list[Any] = [None] * (INPUTS + self.nodes)
        for source, fan in enumerate(self.fans):
            if source >= INPUTS:
                nodes.append(bypass.join(self._or_empty(totals[source], sources[0])))
                sources.append(bypass.split(nodes[-1]))
            assert isinstance(fan, NodeFan)
            messages: list[Tensor | None] = fan(sources[source], sample, active)
            for e, message in zip(fan.edge_list, messages, strict=True):
                if message is not None:
                    target = self.pairs[e][1]
                    totals[target] = added(totals[target], kept(message, keep, e))
        last = bypass.join(self._or_empty(totals[-1], sources[0]))
        return torch.cat([*nodes, last], dim=1)

    def _or_empty(self, total: Tensor | None, source: Tensor) -> Tensor:
        return empty_node(source, self.stride) if total is None else total
