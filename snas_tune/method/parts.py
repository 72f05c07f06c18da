"""The parts that networks are built of, as values: what is built is also what is counted.

A part knows its shapes, so one value serves the supernet, the child network, the cost tables and
the latency tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.genotype import Genotype
from snas_tune.method.ops import FactorisedReduce, batch_norm, build_op, relu_conv_norm
from snas_tune.plan import EARLY_STEM, STEM, CellPlan, NetworkPlan, Source, plan_network


@dataclass(frozen=True, slots=True)
class Part:
    """One op, preprocessing, stem stage or classifier at its real shapes."""

    kind: str
    """``op``, ``preprocess``, ``stem`` or ``classifier``."""

    name: str
    """Which of its kind: the op's name, say."""

    channels_in: int
    channels_out: int
    side: int
    """Of the square feature map that it reads, in pixels."""

    stride: int = 1

    def key(self) -> str:
        """A readable name, the same in every process and on every machine."""
        return (
            f"{self.kind}/{self.name}/{self.channels_in}-{self.channels_out}"
            f"/side{self.side}/stride{self.stride}"
        )

    def build(self, *, affine: bool) -> nn.Module:
        """The module, see :func:`snas_tune.method.ops.build_op` for ``affine``."""
        if self.kind == "op":
            return build_op(self.name, self.channels_in, self.stride, affine=affine)
        if self.kind == "preprocess":
            if self.stride == 2:
                return FactorisedReduce(self.channels_in, self.channels_out, affine)
            return relu_conv_norm(self.channels_in, self.channels_out, 1, 1, affine)
        if self.kind == "classifier":
            return Classifier(self.channels_in, self.channels_out)
        return _STEM_STAGES[self.name](self.channels_in, self.channels_out)


class Classifier(nn.Module):
    """Mean over the pixels, then a linear layer; only its bias where no channel is left."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        bound = max(1, channels) ** -0.5  # as nn.Linear, which warns of an empty weight
        self.weight = nn.Parameter(torch.empty(classes, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(classes).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.mean((2, 3)), self.weight, self.bias)


def _cifar_stem(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        batch_norm(channels_out, affine=True),
    )


def _early_stem(channels_in: int, channels_out: int) -> nn.Module:
    half = channels_out // 2
    return nn.Sequential(
        nn.Conv2d(channels_in, half, 3, stride=2, padding=1, bias=False),
        batch_norm(half, affine=True),
        nn.ReLU(),
        nn.Conv2d(half, channels_out, 3, stride=2, padding=1, bias=False),
        batch_norm(channels_out, affine=True),
    )


def _late_stem(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False),
        batch_norm(channels_out, affine=True),
    )


_STEM_STAGES = {"cifar": _cifar_stem, "imagenet_early": _early_stem, "imagenet_late": _late_stem}


def halved(side: int, times: int = 1) -> int:
    """The side of a feature map after ``times`` strided ops."""
    for _ in range(times):
        side = (side + 1) // 2
    return side


@dataclass(frozen=True, slots=True)
class Frame:
    """What a network stands in: everything about its shapes that is not in the genotype."""

    cells: int
    channels: int
    stem: str
    image_size: int
    image_channels: int
    classes: int
    partial: int = 1
    """One channel in so many goes through the ops, see :mod:`snas_tune.method.partial`."""

    def plan(self, genotype: Genotype, *, keep_dead: bool = False) -> NetworkPlan:
        """The plan of a genotype's network, see :func:`snas_tune.plan.plan_network`.

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
        """The genotype without its dead parts; in a partial network it has none."""
        return genotype if self.partial > 1 else genotype.live()

    def stem_stages(self) -> list[tuple[int, Part]]:
        """The stages in order, each with the output (``STEM``, ``EARLY_STEM``) that it makes."""
        if self.stem == "cifar":
            width = 3 * self.channels  # DARTS' stem multiplier
            return [(STEM, Part("stem", "cifar", self.image_channels, width, self.image_size))]
        side = halved(self.image_size, 2)
        early = Part(
            "stem", "imagenet_early", self.image_channels, self.channels, self.image_size, 4
        )
        late = Part("stem", "imagenet_late", self.channels, self.channels, side, 2)
        return [(EARLY_STEM, early), (STEM, late)]

    def side(self, plan: CellPlan) -> int:
        """Side of the feature maps that the ops of a cell read."""
        first = self.image_size if self.stem == "cifar" else halved(self.image_size, 3)
        return halved(first, plan.halvings)

    def preprocess(self, plan: CellPlan, source: Source) -> Part:
        """The preprocessing of one input of a cell."""
        stride = 2 if source.halve else 1
        # What is halved had the side of the cell before the reduction, known up to its parity.
        side = self._side_before(plan) if source.halve else self.side(plan)
        return Part("preprocess", "1x1", source.channels, plan.channels, side, stride)

    def _side_before(self, plan: CellPlan) -> int:
        if plan.halvings == 0:
            return halved(self.image_size, 2)  # the ImageNet stem's first output
        first = self.image_size if self.stem == "cifar" else halved(self.image_size, 3)
        return halved(first, plan.halvings - 1)

    def op(self, plan: CellPlan, name: str, source: int) -> Part:
        """The part of op ``name`` on an edge that leaves ``source``."""
        stride = plan.stride(source)
        side = self.side(plan)
        if plan.reduction and stride == 1:
            side = halved(side)
        channels = plan.channels // self.partial
        return Part("op", name, channels, channels, side, stride)

    def classifier(self, channels: int, last: CellPlan) -> Part:
        """The classifier behind the last cell, which reads ``channels`` of its channels."""
        side = halved(self.side(last), int(last.reduction))
        return Part("classifier", "linear", channels, self.classes, side)

    def parts(self, plan: NetworkPlan) -> Iterator[Part]:
        """Every part of the network, those that stand several times as often."""
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


def example(part: Part, device: str | torch.device, batch: int = 1) -> Tensor:
    """A zero batch of the shape that ``part`` reads."""
    return torch.zeros(batch, part.channels_in, part.side, part.side, device=device)
