"""The fused supernet: the same function as the plain one, with a fraction of the work.

It holds the weights of the edges that leave one node together, in :class:`OutEdges`. An op without
weights (pooling, the skip connection) is made once for the node; ops that are neither separable nor
free of weights run edge by edge, as in the plain form. Outputs and gradients are those of
:class:`snas_tune.space.cell.supernet.SearchCell`; ``Supernet.named_tensors`` and ``load_tensors``
convert weights both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snas_tune.space.cell.fused.edges import OutEdges, SeparableOp, SharedOp
from snas_tune.space.cell.fused.weights import EdgeOp, Sample
from snas_tune.space.cell.genotype import INPUTS, NONE, cell_edges
from snas_tune.space.cell.node import added, empty_node, kept
from snas_tune.space.cell.ops import OPS
from snas_tune.space.cell.partial import Bypass
from snas_tune.space.cell.plan import CellPlan
from snas_tune.space.cell.skeleton import Skeleton


class NodeOps(nn.Module):
    """Every op of every edge that leaves one node of a cell.

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
            if OPS[op].stages:
                separable.append(SeparableOp(op, OPS[op].stages))
                continue
            module = skeleton.op(plan, op, source).build(affine=False)
            if not any(True for _ in module.parameters()):
                self.shared[op] = module  # of the node alone, so the same for every edge
                continue
            self.own[op] = nn.ModuleList(
                [module, *(skeleton.op(plan, op, source).build(affine=False) for _ in edges[1:])]
            )
        spec = skeleton.op(plan, NONE, source)
        self.out_edges = OutEdges(spec.channels_in, len(edges), separable, spec.stride)
        groups = [[op.name for op in self.out_edges.ops], list(self.shared), list(self.own)]
        self.positions = [[ops.index(name) for name in names] for names in groups]

    def op_tensors(self, edge: int, op: str) -> dict[str, Tensor]:
        """Weights and statistics of an op, by their names in its own module.

        Args:
            edge: position among the edges that leave the node.
            op: its name.

        Raises:
            ValueError: the op is not one of the search.
        """
        names = [each.name for each in self.out_edges.ops]
        if op in names:
            return self.out_edges.op_tensors(edge, names.index(op))
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
            x: the channels of the node that the ops read, ``(B, C, H, W)``.
            sample: of all edges of the cell, ``(E, K)``.
            active: of all edges, the positions of the ops that run; all if not given.
        """
        mine = sample[self.edge_list]
        separable, shared, own = (mine[:, positions] for positions in self.positions)
        separable_runs, shared_runs, own_runs = self._runs(active)
        messages: list[Any] = self.out_edges(
            x,
            Sample(separable, shared, separable_runs, shared_runs),
            [SharedOp(op, OPS[name].pool) for name, op in self.shared.items()],
        )
        alone: list[Any] = list(self.own.values())
        for e, i in own_runs:
            messages[e] = added(messages[e], own[e, i] * alone[i][e](x))
        return messages

    def _runs(self, active: Sequence[Sequence[int]] | None) -> list[list[EdgeOp]]:
        """The ops that run, of each group of :attr:`positions`; ``active`` as for forward."""
        runs = [range(self.op_count) if active is None else active[e] for e in self.edge_list]
        return [
            [(e, i) for e, ops in enumerate(runs) for i, k in enumerate(positions) if k in ops]
            for positions in self.positions
        ]


class FusedCell(nn.Module):
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
        self.node_ops = nn.ModuleList(
            NodeOps(
                skeleton, plan, ops, node, [e for e, (s, _) in enumerate(self.pairs) if s == node]
            )
            for node in range(INPUTS + self.nodes - 1)
        )

    def op_tensors(self, edge: int, op: str) -> dict[str, Tensor]:
        """As ``SearchCell.op_tensors``."""
        ops = self.node_ops[self.pairs[edge][0]]
        assert isinstance(ops, NodeOps)
        return ops.op_tensors(ops.edge_list.index(edge), op)

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
        for source, ops in enumerate(self.node_ops):
            if source >= INPUTS:
                nodes.append(bypass.join(self._or_empty(totals[source], sources[0])))
                sources.append(bypass.split(nodes[-1]))
            assert isinstance(ops, NodeOps)
            messages: list[Tensor | None] = ops(sources[source], sample, active)
            for e, message in zip(ops.edge_list, messages, strict=True):
                if message is not None:
                    target = self.pairs[e][1]
                    totals[target] = added(totals[target], kept(message, keep, e))
        last = bypass.join(self._or_empty(totals[-1], sources[0]))
        return torch.cat([*nodes, last], dim=1)

    def _or_empty(self, total: Tensor | None, source: Tensor) -> Tensor:
        return empty_node(source, self.stride) if total is None else total
