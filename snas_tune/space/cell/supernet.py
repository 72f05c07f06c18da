"""The stochastic supernet, plain: every op of every edge, one by one, weighted by the sample.

This is the reference whose outputs and gradients the fused one must equal. Shapes: ``B`` images,
``E`` edges of a cell, ``K`` candidate ops.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from snas_tune.space.cell.candidates import Candidates
from snas_tune.space.cell.genotype import NONE, cell_edges
from snas_tune.space.cell.node import added, empty_node, kept
from snas_tune.space.cell.ops import check_ops
from snas_tune.space.cell.partial import Bypass
from snas_tune.space.cell.plan import EARLY_STEM, STEM, CellPlan
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.choices import Active
from snas_tune.space.supernet import Drawn, Piece, Supernet


class MixedOp(nn.Module):
    """All candidate ops of one edge: ``sum_k Z_k O_k(x)`` (SNAS eq. 2). ``none`` adds nothing."""

    def __init__(self, skeleton: Skeleton, plan: CellPlan, ops: Sequence[str], source: int) -> None:
        super().__init__()
        self.ops = nn.ModuleDict(
            {op: skeleton.op(plan, op, source).build(affine=False) for op in ops if op != NONE}
        )
        self.positions = [k for k, op in enumerate(ops) if op != NONE]

    def forward(self, x: Tensor, sample: Tensor, active: Sequence[int] | None) -> Tensor | None:
        """The edge's message; ``None`` where no op runs.

        Args:
            x: shape ``(B, C, H, W)``.
            sample: shape ``(K,)``.
            active: positions of the ops that run; all if not given.
        """
        mixed: Tensor | None = None
        for k, op in zip(self.positions, self.ops.values(), strict=True):
            if active is None or k in active:
                mixed = added(mixed, sample[k] * op(x))
        return mixed


class SearchCell(nn.Module):
    """A cell with every edge: two preprocessed inputs, nodes that sum their in-edges, a concat."""

    def __init__(self, skeleton: Skeleton, plan: CellPlan, ops: Sequence[str]) -> None:
        super().__init__()
        self.partial = skeleton.partial
        first, second = plan.sources
        assert first is not None
        assert second is not None
        self.preprocess = nn.ModuleList(
            skeleton.preprocess(plan, source).build(affine=False) for source in (first, second)
        )
        self.nodes, self.stride = plan.cell.nodes, plan.stride(0)
        self.edges = nn.ModuleList(
            MixedOp(skeleton, plan, ops, source) for source, _ in cell_edges(self.nodes)
        )

    def op_tensors(self, edge: int, op: str) -> dict[str, Tensor]:
        """Weights and statistics of an op of an edge, by their names in its own module.

        They are views: writing to them changes the cell.

        Raises:
            ValueError: the op is not one of the search.
        """
        mixed = self.edges[edge]
        assert isinstance(mixed, MixedOp)
        if op not in mixed.ops:
            raise ValueError(f"op must be one of {', '.join(mixed.ops)}, got {op!r}")
        return mixed.ops[op].state_dict()

    def forward(
        self,
        inputs: Sequence[Tensor],
        sample: Tensor,
        keep: Tensor | None,
        active: Sequence[Sequence[int]] | None = None,
    ) -> Tensor:
        """Compute the cell.

        Args:
            inputs: the outputs of the cell before the last and of the last.
            sample: shape ``(E, K)``.
            keep: shape ``(E, B)``, the factor by which drop path multiplies an edge of an image:
                0 or ``1 / (1 - probability)``; no drop path if not given. Channels that pass by
                the ops are kept.
            active: by edge, the positions of the ops that run; all if not given.
        """
        bypass = Bypass(self.partial)
        sources = [
            bypass.split(preprocess(x), self.stride)
            for preprocess, x in zip(self.preprocess, inputs, strict=True)
        ]
        nodes: list[Tensor] = []
        edge = 0
        for _ in range(self.nodes):
            if nodes:
                sources.append(bypass.split(nodes[-1]))
            total = None
            for x in sources:
                runs = None if active is None else active[edge]
                message = self.edges[edge](x, sample[edge], runs)
                if message is not None:
                    total = added(total, kept(message, keep, edge))
                edge += 1
            if total is None:
                total = empty_node(sources[0], self.stride)
            nodes.append(bypass.join(total))
        return torch.cat(nodes, dim=1)


class CellSupernet(Supernet):
    """Every candidate op of every edge of all cells.

    Args:
        candidates: skeleton, nodes and ops.
        cell: how a cell computes: :class:`SearchCell`, or the fused one, which has the same
            interface.
        checkpointing: keep only the cells' outputs, and compute the rest again in the backward
            pass.

    Raises:
        ValueError: an op is unknown.
    """

    def __init__(
        self,
        candidates: Candidates,
        cell: Callable[[Skeleton, CellPlan, Sequence[str]], nn.Module] = SearchCell,
        *,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_ops(candidates.ops)
        skeleton, plans = candidates.skeleton, candidates.plans
        self.candidates, self.checkpointing = candidates, checkpointing
        self.kinds = [int(plan.reduction) for plan in plans]
        self.paths = (len(plans), len(candidates.pairs))
        self.stem = nn.ModuleList(part.build(affine=True) for _, part in skeleton.stem_stages())
        self.cells = nn.ModuleList(cell(skeleton, plan, candidates.ops) for plan in plans)
        self.classifier = candidates.classifier(candidates.nodes).build(affine=False)

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """As :meth:`Supernet.named_tensors`; the names are those of the plain form's modules."""
        for name, tensor in self.state_dict().items():
            if not name.startswith("cells.") or ".preprocess." in name:
                yield name, tensor
        edges = range(len(self.candidates.pairs))
        for i in range(len(self.cells)):
            cell: Any = self.cells[i]
            for edge, op in itertools.product(edges, self.candidates.ops):
                if op != NONE:
                    for name, tensor in cell.op_tensors(edge, op).items():
                        yield f"cells.{i}.edges.{edge}.ops.{op}.{name}", tensor

    def forward(
        self,
        images: Tensor,
        sample: Tensor,
        keep: Tensor | None = None,
        active: Active | None = None,
    ) -> Tensor:
        """As :meth:`Supernet.forward`; all cells of a type share their part of the sample.

        An op that does not run leaves its running statistics as they are.
        """
        outputs = {}
        x = images
        for (name, _), stage in zip(self.candidates.skeleton.stem_stages(), self.stem, strict=True):
            x = outputs[name] = stage(x)
        before, last = outputs.get(EARLY_STEM, x), outputs[STEM]
        edges = len(self.candidates.pairs)
        for i, kind in enumerate(self.kinds):
            mine = slice(kind * edges, (kind + 1) * edges)
            cell_keep = None if keep is None else keep[i]
            runs = None if active is None else active[mine]
            before, last = last, self.run_cell(i, before, last, sample[mine], cell_keep, runs)
        logits: Tensor = self.classifier(last)
        return logits

    def run_cell(
        self, index: int, before: Tensor, last: Tensor, sample: Tensor, *rest: Any
    ) -> Tensor:
        """The output of one cell, which is a checkpoint where activations are not kept.

        Args:
            index: of the cell.
            before: output of the cell before the last.
            last: of the last.
            sample: of this type of cell, ``(E, K)``.
            rest: the further arguments of :class:`SearchCell`.
        """
        cell = self.cells[index]

        def compute(before: Tensor, last: Tensor, sample: Tensor) -> Tensor:
            # Within a checkpoint, the pass without gradient is the first, the other the second.
            again = self.checkpointing and torch.is_grad_enabled()
            with statistics_frozen(cell) if again else contextlib.nullcontext():
                output: Tensor = cell((before, last), sample, *rest)
            # Where no op runs nothing has a gradient, which the checkpoint does not take.
            return output + 0 * sample.sum() if again and not output.requires_grad else output

        if not (self.checkpointing and torch.is_grad_enabled()):
            return compute(before, last, sample)
        # The reentrant kind runs the first pass without gradient, so nothing of it is kept, by
        # whatever autograd function. No random number is drawn within a cell.
        output: Tensor = checkpoint(
            compute, before, last, sample, use_reentrant=True, preserve_rng_state=False
        )
        return output

    def pieces(self, samples: Sequence[Drawn], images: Callable[..., Tensor]) -> list[Piece]:
        """As :meth:`Supernet.pieces`: cells of one kind (type and width) are the same work."""
        alike: dict[tuple[bool, int], list[int]] = {}
        for i, plan in enumerate(self.candidates.plans):
            alike.setdefault((plan.reduction, plan.channels), []).append(i)
        # The first cells of a network read the stem, so the last of a kind is the usual one.
        cells = [self._cell_piece(len(each), each[-1], samples, images) for each in alike.values()]
        specs = [spec for _, spec in self.candidates.skeleton.stem_stages()]
        specs.append(self.candidates.classifier(self.candidates.nodes))
        ends = [
            Piece(1, module, [partial(module, images(spec.channels_in, spec.side))], [])
            for module, spec in zip([*self.stem, self.classifier], specs, strict=True)
        ]
        return [*cells, *ends]

    def _cell_piece(
        self, count: int, index: int, samples: Sequence[Drawn], images: Callable[..., Tensor]
    ) -> Piece:
        plan, kind, edges = self.candidates.plans[index], self.kinds[index], self.paths[1]
        mine = slice(kind * edges, (kind + 1) * edges)
        specs = [
            self.candidates.skeleton.preprocess(plan, source)
            for source in plan.sources
            if source is not None
        ]
        inputs = [images(spec.channels_in, spec.side).requires_grad_() for spec in specs]
        weights = [sample[mine].to(inputs[0]).requires_grad_() for sample, _ in samples]
        forward = [
            partial(self.run_cell, index, *inputs, weight, None, active and active[mine])
            for weight, (_, active) in zip(weights, samples, strict=True)
        ]
        return Piece(count, self.cells[index], forward, [*inputs, *weights])


@contextlib.contextmanager
def statistics_frozen(module: nn.Module) -> Iterator[None]:
    """Inside, batch norms in training mode leave their running statistics as they are."""
    norms = [m for m in module.modules() if hasattr(m, "track_running_stats")]
    for norm in norms:
        norm.track_running_stats = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True  # type: ignore[assignment]
