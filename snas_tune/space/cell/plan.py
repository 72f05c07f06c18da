"""The plan of a child network: which parts a genotype needs, cell by cell, through the whole depth.

A cell that keeps few edges leaves more dead than its own nodes: the preprocessing of an input that
no edge reads, the channels of a dead node in the next cells' preprocessing, and every cell whose
output reaches nothing. All of that follows from the genotype and the depth alone, so it is decided
here, once, for the network that is built and for its cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snas_tune.space.cell.genotype import Genotype
from snas_tune.space.cell.graph import INPUTS, Cell

STEM = -1
"""In place of a cell's index: the output of the stem."""

EARLY_STEM = -2
"""The ImageNet stem's first output, of twice the side, which only the first cell reads."""


@dataclass(frozen=True, slots=True)
class Source:
    """What an input of a cell, or the classifier, reads."""

    cell: int
    """Index of the cell before, or ``STEM`` or ``EARLY_STEM``."""

    nodes: tuple[int, ...]
    """The nodes of that cell that are concatenated; ``(0,)`` for the stem."""

    width: int
    """Channels of one of those nodes."""

    halve: bool = False
    """Whether the reader must halve the side, as a reduction cell stands between."""

    @property
    def channels(self) -> int:
        """Channels that are read."""
        return len(self.nodes) * self.width


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One cell of the network."""

    reduction: bool
    channels: int
    halvings: int
    """How often the stem's output side was halved before this cell."""

    sources: tuple[Source | None, ...]
    """For each input; ``None`` where nothing reads it."""

    cell: Cell
    """Its edges, and the concat that later parts read."""

    def stride(self, source: int) -> int:
        """Stride of the ops on the edges that leave node ``source``."""
        return 2 if self.reduction and source < INPUTS else 1


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """All cells, and what the classifier reads."""

    cells: tuple[CellPlan, ...]
    features: Source
    """What is pooled for the classifier: without nodes where every path is cut."""

    def reads(self, output: int) -> bool:
        """Whether any cell reads the output with that index (``STEM``, ``EARLY_STEM``)."""
        return any(s is not None and s.cell == output for plan in self.cells for s in plan.sources)


def reduction_cells(cells: int) -> set[int]:
    """Indices of the reduction cells: at 1/3 and 2/3 of the depth (DARTS, ``model_search.py``)."""
    return {cells // 3, 2 * cells // 3}


def plan_network(
    genotype: Genotype, *, cells: int, channels: int, stem: str, keep_dead: bool = False
) -> NetworkPlan:
    """Decide every part of the child network of ``genotype``.

    Args:
        genotype: the two cells, repeated.
        cells: depth of the network, 3 or more.
        channels: of the first cells; each reduction cell doubles them.
        stem: ``cifar`` or ``imagenet``.
        keep_dead: keep the parts that do not change the function, as published networks do.

    Returns:
        A plan whose parts are all joined to the images and to the classifier, or, with
        ``keep_dead``, all that the genotype names.
    """
    reductions = reduction_cells(cells)
    kept = [genotype.reduction if i in reductions else genotype.normal for i in range(cells)]
    if not keep_dead:
        kept = _needed(_reached(kept))
    plans: list[CellPlan] = []
    for i, cell in enumerate(kept):
        halvings = sum(k < i for k in reductions)
        reduction = i in reductions
        width = channels * 2 ** (halvings + reduction)
        sources = tuple(
            _source(i - 2 + slot, plans, channels, stem) if keep_dead or cell.uses(slot) else None
            for slot in range(INPUTS)
        )
        plans.append(CellPlan(reduction, width, halvings, sources, cell))
    last = plans[-1]
    return NetworkPlan(tuple(plans), Source(cells - 1, last.cell.concat, last.channels))


def _reached(cells: Sequence[Cell]) -> list[Cell]:
    """Front to back: each cell without what reads zeros."""
    kept: list[Cell] = []
    for i, cell in enumerate(cells):
        inputs = [i - 2 + slot < 0 or bool(kept[i - 2 + slot].concat) for slot in range(INPUTS)]
        kept.append(cell.live(inputs))
    return kept


def _needed(cells: Sequence[Cell]) -> list[Cell]:
    """Back to front: an empty cell in place of each that no path joins to the classifier."""
    wanted = {len(cells) - 1}
    kept = []
    for i in range(len(cells) - 1, -1, -1):
        cell = cells[i] if i in wanted else Cell(cells[i].nodes, (), ())
        wanted |= {i - 2 + slot for slot in range(INPUTS) if cell.uses(slot)}
        kept.append(cell)
    return kept[::-1]


def _source(cell: int, plans: Sequence[CellPlan], channels: int, stem: str) -> Source:
    """What the next cell after ``plans`` reads from ``cell``; below 0 that is the stem."""
    crossed = any(plan.reduction for plan in plans[max(0, cell + 1) :])
    if cell >= 0:
        return Source(cell, plans[cell].cell.concat, plans[cell].channels, crossed)
    if stem == "imagenet":
        early = not plans and cell == EARLY_STEM
        return Source(EARLY_STEM if early else STEM, (0,), channels, early or crossed)
    return Source(STEM, (0,), 3 * channels, crossed)  # DARTS: the 32-pixel stem widens threefold
