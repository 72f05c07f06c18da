"""The skeleton of a network of cells: every shape that the genotype does not say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from snas_tune.space.cell.genotype import Genotype
from snas_tune.space.cell.graph import Cell, Edge
from snas_tune.space.cell.layers import LayerSpec
from snas_tune.space.cell.plan import EARLY_STEM, STEM, CellPlan, NetworkPlan, Source, plan_network


def halved(side: int, times: int = 1) -> int:
    """The side of a feature map after ``times`` strided ops."""
    for _ in range(times):
        side = (side + 1) // 2
    return side


def _kept(cell: Cell, copies: Iterable[Cell]) -> Cell:
    """A cell with the edges and outputs that at least one of its copies has."""
    edges, concat = set[Edge](), set[int]()
    for copy in copies:
        edges.update(copy.edges)
        concat.update(copy.concat)
    return Cell(cell.nodes, tuple(edge for edge in cell.edges if edge in edges), tuple(concat))


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Every shape of a network of cells that the genotype does not say."""

    cells: int
    channels: int
    stem: str
    image_size: int
    image_channels: int
    classes: int
    partial: int = 1
    """One channel in so many goes through the ops, see :mod:`snas_tune.space.cell.partial`."""

    def plan(self, genotype: Genotype, *, keep_dead: bool = False) -> NetworkPlan:
        """The plan of a genotype's network, see :func:`snas_tune.space.cell.plan.plan_network`.

        Of a partial network all is kept: every node passes channels by, so none is dead.
        """
        return plan_network(
            genotype,
            cells=self.cells,
            channels=self.channels,
            stem=self.stem,
            keep_dead=keep_dead or self.partial > 1,
        )

    def live(self, genotype: Genotype) -> Genotype:
        """The genotype without the parts that change nothing in any cell of the network.

        One empty cell may cut the network, and then both cells are empty: networks that always
        give the same answer are one architecture. In a partial network no part is dead.
        """
        if self.partial > 1:
            return genotype
        plans = self.plan(genotype).cells
        return Genotype(
            _kept(genotype.normal, [plan.cell for plan in plans if not plan.reduction]),
            _kept(genotype.reduction, [plan.cell for plan in plans if plan.reduction]),
        )

    def stem_stages(self) -> list[tuple[int, LayerSpec]]:
        """The stages in order, each with the output (``STEM``, ``EARLY_STEM``) that it makes."""
        if self.stem == "cifar":
            width = 3 * self.channels  # DARTS' stem multiplier
            return [(STEM, LayerSpec("stem", "cifar", self.image_channels, width, self.image_size))]
        side = halved(self.image_size, 2)
        early = LayerSpec(
            "stem", "imagenet_early", self.image_channels, self.channels, self.image_size, 4
        )
        late = LayerSpec("stem", "imagenet_late", self.channels, self.channels, side, 2)
        return [(EARLY_STEM, early), (STEM, late)]

    def side(self, plan: CellPlan) -> int:
        """Side of the feature maps that the ops of a cell read."""
        first = self.image_size if self.stem == "cifar" else halved(self.image_size, 3)
        return halved(first, plan.halvings)

    def preprocess(self, plan: CellPlan, source: Source) -> LayerSpec:
        """The preprocessing of one input of a cell."""
        stride = 2 if source.halve else 1
        # What is halved had the side of the cell before the reduction, known up to its parity.
        side = self._side_before(plan) if source.halve else self.side(plan)
        return LayerSpec("preprocess", "1x1", source.channels, plan.channels, side, stride)

    def _side_before(self, plan: CellPlan) -> int:
        if plan.halvings == 0:
            return halved(self.image_size, 2)  # the ImageNet stem's first output
        first = self.image_size if self.stem == "cifar" else halved(self.image_size, 3)
        return halved(first, plan.halvings - 1)

    def op(self, plan: CellPlan, name: str, source: int) -> LayerSpec:
        """The layer of op ``name`` on an edge that leaves ``source``."""
        stride = plan.stride(source)
        side = self.side(plan)
        if plan.reduction and stride == 1:
            side = halved(side)
        channels = plan.channels // self.partial
        return LayerSpec("op", name, channels, channels, side, stride)

    def classifier(self, channels: int, last: CellPlan) -> LayerSpec:
        """The classifier behind the last cell, which reads ``channels`` of its channels."""
        side = halved(self.side(last), int(last.reduction))
        return LayerSpec("classifier", "linear", channels, self.classes, side)

    def layers(self, plan: NetworkPlan) -> Iterator[LayerSpec]:
        """Every layer of the network, those that stand several times as often."""
        stages = self.stem_stages()
        for i, (_, part) in enumerate(stages):
            if any(plan.reads(output) for output, _ in stages[i:]):
                yield part
        for cell_plan in plan.cells:
            for source in cell_plan.sources:
                if source is not None:
                    yield self.preprocess(cell_plan, source)
            for edge in cell_plan.cell.edges:
                yield self.op(cell_plan, edge.op, edge.source)
        yield self.classifier(plan.features.channels, plan.cells[-1])
