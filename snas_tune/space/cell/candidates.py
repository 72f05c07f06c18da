"""Candidates: every op of every edge of both cells, on a skeleton. The choices of the cell space.

Shapes: ``C`` = 2 cell types x ``E`` edges of a cell, ``K`` candidate ops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from snas_tune.space.cell.genotype import INPUTS, NONE, Cell, Edge, Genotype, cell_edges
from snas_tune.space.cell.layers import LayerSpec
from snas_tune.space.cell.plan import CellPlan, Source
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.choices import Choice

CELL_TYPES = ("normal", "reduction")
"""In the order in which their choices stand."""


@dataclass(frozen=True)
class Candidates:
    """What a search of cells chooses from."""

    skeleton: Skeleton
    nodes: int
    """Intermediate nodes of a cell."""

    ops: tuple[str, ...]
    """Names of the ``K`` candidate ops."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The ``E`` edges ``(source, target)`` of a cell."""
        return cell_edges(self.nodes)

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """One for each edge of each type of cell, ``normal/0-2``, with the ops as options."""
        return tuple(
            Choice(f"{kind}/{source}-{target}", self.ops, kind)
            for kind in CELL_TYPES
            for source, target in self.pairs
        )

    @cached_property
    def plans(self) -> Sequence[CellPlan]:
        """The cells of the supernet: every input read, every intermediate node concatenated."""
        cell = Cell(self.nodes, (), tuple(range(INPUTS, INPUTS + self.nodes)))
        return self.skeleton.plan(Genotype(cell, cell), keep_dead=True).cells

    def classifier(self, nodes: int) -> LayerSpec:
        """The classifier behind so many nodes of the last cell."""
        last = self.plans[-1]
        return self.skeleton.classifier(nodes * last.channels, last)

    def genotype(self, picks: Sequence[int]) -> Genotype:
        """The cells of one op for each edge, by their positions; dead parts are still there.

        SNAS section 2.4: there is no rule on the number of in-edges; an edge whose op is ``none``
        is dropped. Every intermediate node is in the concat.
        """
        concat = tuple(range(INPUTS, INPUTS + self.nodes))
        edges = len(self.pairs)
        cells = []
        for kind in range(len(CELL_TYPES)):
            chosen = zip(self.pairs, picks[kind * edges : (kind + 1) * edges], strict=True)
            kept = tuple(Edge(self.ops[k], s, t) for (s, t), k in chosen if self.ops[k] != NONE)
            cells.append(Cell(self.nodes, kept, concat))
        return Genotype(*cells)

    def picks(self, genotype: Genotype) -> list[int]:
        """The inverse of :meth:`genotype`.

        Raises:
            ValueError: the genotype has an edge or op that is not among the candidates, two ops on
                an edge, or no op on an edge where ``none`` is no candidate.
        """
        position = {pair: e for e, pair in enumerate(self.pairs)}
        picked: dict[int, int] = {}
        for kind, cell in enumerate((genotype.normal, genotype.reduction)):
            for edge in cell.edges:
                e = position.get((edge.source, edge.target))
                place = -1 if e is None else kind * len(position) + e
                if e is None or edge.op not in self.ops or place in picked:
                    raise ValueError(f"edge must be one of the search space's, once, got {edge}")
                picked[place] = self.ops.index(edge.op)
        if NONE not in self.ops and len(picked) < len(self.choices):
            raise ValueError("genotype must have every edge where none is not an op, got fewer")
        empty = self.ops.index(NONE) if NONE in self.ops else -1
        return [picked.get(place, empty) for place in range(len(self.choices))]

    def layers(self) -> list[LayerSpec]:
        """Every layer that a child can have, each once, sorted by key."""
        skeleton, found = self.skeleton, {spec for _, spec in self.skeleton.stem_stages()}
        sources = {s for s, _ in self.pairs if s < INPUTS} | {INPUTS}
        for plan in self.plans:
            for source in plan.sources:
                assert source is not None
                for kept in range(1, len(source.nodes) + 1):
                    cut = Source(source.cell, source.nodes[:kept], source.width, source.halve)
                    found.add(skeleton.preprocess(plan, cut))
            found |= {skeleton.op(plan, op, s) for op in self.ops for s in sources if op != NONE}
        found |= {self.classifier(kept) for kept in range(self.nodes + 1)}
        return sorted(found, key=LayerSpec.key)
