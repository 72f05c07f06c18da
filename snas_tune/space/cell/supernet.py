"""The stochastic supernet, plain: every op of every edge, one by one, weighted by the sample.

This is the reference whose outputs and gradients any faster form must equal. Shapes: ``B`` images,
``T`` = 2 cell types, ``E`` edges of a cell, ``K`` candidate ops.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from snas_tune.config import SearchConfig
from snas_tune.space.cell.genotype import INPUTS, NONE, Cell, Edge, Genotype, cell_edges
from snas_tune.space.cell.node import added, empty_node, kept
from snas_tune.space.cell.ops import check_ops
from snas_tune.space.cell.partial import Bypass
from snas_tune.space.cell.plan import EARLY_STEM, STEM, CellPlan, plan_network
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.choices import Active

NORMAL, REDUCTION = 0, 1
"""Positions of the cell types in logits and samples."""


def skeleton_of(
    config: SearchConfig, *, image_size: int, image_channels: int, classes: int
) -> Skeleton:
    """The skeleton of a search's supernet and children on images of that shape."""
    return Skeleton(
        config.cells,
        config.channels,
        config.stem,
        image_size,
        image_channels,
        classes,
        config.partial_channels,
    )


def full_plan(skeleton: Skeleton, nodes: int) -> Sequence[CellPlan]:
    """The cells of a supernet: every input read, every intermediate node concatenated."""
    cell = Cell(nodes, (), tuple(range(INPUTS, INPUTS + nodes)))
    genotype = Genotype(cell, cell)
    plan = plan_network(
        genotype,
        cells=skeleton.cells,
        channels=skeleton.channels,
        stem=skeleton.stem,
        keep_dead=True,
    )
    return plan.cells


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


class Supernet(nn.Module):
    """The network that holds every op. Its logits are a parameter, so that they are saved with it.

    Args:
        config: for depth, width, nodes, ops and stem.
        skeleton: those and the images' shape, from :func:`skeleton_of`.
        cell: how a cell computes: :class:`SearchCell`, or
            :class:`snas_tune.space.cell.fused.cell.FusedCell`, which has the same interface.

    Raises:
        ValueError: an op is unknown.
    """

    logits: nn.Parameter
    """Shape ``(T, E, K)``; start at 0, see :meth:`spread_logits`."""

    def __init__(
        self,
        config: SearchConfig,
        skeleton: Skeleton,
        cell: Callable[[Skeleton, CellPlan, Sequence[str]], nn.Module] = SearchCell,
    ) -> None:
        super().__init__()
        check_ops(config.ops)
        self.skeleton = skeleton
        self.op_names = tuple(config.ops)
        self.node_count = config.nodes
        plans = full_plan(skeleton, config.nodes)
        self.kinds = [REDUCTION if plan.reduction else NORMAL for plan in plans]
        self.stem = nn.ModuleList(part.build(affine=True) for _, part in skeleton.stem_stages())
        self.cells = nn.ModuleList(cell(skeleton, plan, config.ops) for plan in plans)
        width = config.nodes * plans[-1].channels
        self.classifier = skeleton.classifier(width, plans[-1]).build(affine=False)
        edges = len(cell_edges(config.nodes))
        self.logits = nn.Parameter(torch.zeros(2, edges, len(config.ops)))
        self.checkpointing = config.activation_checkpointing

    def spread_logits(self, deviation: float, generator: torch.Generator) -> None:
        """Draw the initial logits from a normal distribution around 0.

        SNAS draws around 1; only differences matter to a softmax, and around 0 the logits' weight
        decay pulls towards the uniform distribution.
        """
        with torch.no_grad():
            noise = torch.randn(self.logits.shape, generator=generator, dtype=torch.float64)
            self.logits.copy_(deviation * noise)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over weights, statistics and logits; what is not named stays.

        Args:
            tensors: from :meth:`named_tensors` of a plain or a fused supernet of the same config.
        """
        with torch.no_grad():
            for name, mine in self.named_tensors():
                if name in tensors:
                    mine.copy_(tensors[name])

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every weight and statistic under the name that it has in the plain form, as views."""
        for name, tensor in self.state_dict().items():
            if not name.startswith("cells.") or ".preprocess." in name:
                yield name, tensor
        edges = range(self.logits.shape[1])
        for i in range(len(self.cells)):
            cell: Any = self.cells[i]
            for edge, op in itertools.product(edges, self.op_names):
                if op != NONE:
                    for name, tensor in cell.op_tensors(edge, op).items():
                        yield f"cells.{i}.edges.{edge}.ops.{op}.{name}", tensor

    def weights(self) -> list[nn.Parameter]:
        """All parameters but the logits."""
        return [p for name, p in self.named_parameters() if name != "logits"]

    def forward(
        self,
        images: Tensor,
        sample: Tensor,
        keep: Tensor | None = None,
        active: Active | None = None,
    ) -> Tensor:
        """Class logits of a batch under one sample of the architecture.

        Args:
            images: shape ``(B, channels, side, side)``.
            sample: ``Z``, shape ``(T, E, K)``; all cells of a type share it.
            keep: drop path, shape ``(cells, E, B)``, see :class:`SearchCell`.
            active: the ops that run, as if the others were ``none``; all if not given. An op that
                does not run leaves its running statistics as they are.

        Returns:
            Shape ``(B, classes)``.
        """
        outputs = {}
        x = images
        for (name, _), stage in zip(self.skeleton.stem_stages(), self.stem, strict=True):
            x = outputs[name] = stage(x)
        before, last = outputs.get(EARLY_STEM, x), outputs[STEM]
        for i, kind in enumerate(self.kinds):
            cell_keep = None if keep is None else keep[i]
            runs = None if active is None else active[kind]
            before, last = last, self.run_cell(i, before, last, sample[kind], cell_keep, runs)
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


def genotype_of(logits: Tensor, ops: Sequence[str], nodes: int) -> Genotype:
    """Derive the cells: on every edge the op of the largest logit, ``none`` included.

    SNAS section 2.4: no rule on the number of in-edges; an edge whose choice is ``none`` is
    dropped. Of equal logits the first op wins. Every intermediate node is in the concat; dead parts
    are still there, see :meth:`snas_tune.space.cell.genotype.Genotype.live`.

    Args:
        logits: shape ``(T, E, K)``.
        ops: names of the ``K`` ops.
        nodes: intermediate nodes.
    """
    choices = logits.detach().argmax(-1).tolist()
    concat = tuple(range(INPUTS, INPUTS + nodes))
    cells = []
    for row in choices:
        chosen = zip(cell_edges(nodes), row, strict=True)
        edges = tuple(Edge(ops[k], s, t) for (s, t), k in chosen if ops[k] != NONE)
        cells.append(Cell(nodes, edges, concat))
    return Genotype(cells[NORMAL], cells[REDUCTION])


def one_hot(genotype: Genotype, ops: Sequence[str], nodes: int) -> Tensor:
    """The sample ``Z`` of a genotype, shape ``(T, E, K)``: the inverse of :func:`genotype_of`.

    Raises:
        ValueError: the genotype is not one of this search space.
    """
    position = {pair: e for e, pair in enumerate(cell_edges(nodes))}
    sample = torch.zeros(2, len(position), len(ops))
    for kind, cell in ((NORMAL, genotype.normal), (REDUCTION, genotype.reduction)):
        for edge in cell.edges:
            e = position.get((edge.source, edge.target))
            if e is None or edge.op not in ops or sample[kind, e].any():
                raise ValueError(f"edge must be one of the search space's, once, got {edge}")
            sample[kind, e, ops.index(edge.op)] = 1
    if NONE in ops:
        sample[..., ops.index(NONE)] = 1 - sample.sum(-1)
    elif not sample.any(-1).all():
        raise ValueError("genotype must have every edge where none is not an op, got fewer")
    return sample
