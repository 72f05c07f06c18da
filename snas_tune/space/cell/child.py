"""The child network: built from a genotype, with the supernet's weights or with its own.

Shapes: ``B`` images.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from snas_tune.arguments import checked
from snas_tune.checks import FLAG, is_instance
from snas_tune.space.cell.genotype import INPUTS, Edge, Genotype, cell_edges
from snas_tune.space.cell.node import added
from snas_tune.space.cell.ops import FactorisedReduce, check_ops
from snas_tune.space.cell.partial import Bypass
from snas_tune.space.cell.plan import EARLY_STEM, STEM, CellPlan, Source
from snas_tune.space.cell.skeleton import Skeleton, halved
from snas_tune.space.cell.supernet import CellSupernet


class ChildCell(nn.Module):
    """One planned cell: only the parts that its plan names."""

    def __init__(self, skeleton: Skeleton, plan: CellPlan, affine: bool) -> None:
        super().__init__()
        self.plan, self.partial = plan, skeleton.partial
        self.side = skeleton.side(plan)
        self.preprocess = nn.ModuleDict(
            {
                str(slot): skeleton.preprocess(plan, source).build(affine=affine)
                for slot, source in enumerate(plan.sources)
                if source is not None
            }
        )
        self.edges = nn.ModuleList(
            skeleton.op(plan, edge.op, edge.source).build(affine=affine) for edge in plan.cell.edges
        )

    def forward(self, inputs: tuple[Tensor, ...], drop_path: float = 0.0) -> Tensor:
        """Compute the cell; with ``drop_path`` an image loses an edge with that probability.

        What passes by the op of that edge is kept.
        """
        bypass = Bypass(self.partial)
        sources: dict[int, Tensor] = {}
        for slot, preprocess in self.preprocess.items():
            x = preprocess(inputs[int(slot)])
            sources[int(slot)] = bypass.split(x, self.plan.stride(int(slot)))
        batch, channels = inputs[0].shape[0], self.plan.channels // self.partial
        side = halved(self.side, int(self.plan.reduction))
        zeros = inputs[0].new_zeros(batch, channels, side, side)  # of a node without edges
        nodes: dict[int, Tensor] = {}
        for node in range(INPUTS, INPUTS + self.plan.cell.nodes):
            if node > INPUTS:
                sources[node - 1] = bypass.split(nodes[node - 1])
            total: Tensor | None = None
            for edge, op in self._in_edges(node):
                message = op(sources[edge.source])
                if drop_path and self.training and not isinstance(op, nn.Identity):
                    message = _drop(message, drop_path)
                total = added(total, message)
            nodes[node] = bypass.join(zeros if total is None else total)
        parts = [nodes[node] for node in self.plan.cell.concat]
        return torch.cat(parts, dim=1) if parts else zeros[:, :0]

    def _in_edges(self, node: int) -> list[tuple[Edge, nn.Module]]:
        pairs = zip(self.plan.cell.edges, self.edges, strict=True)
        return [(edge, op) for edge, op in pairs if edge.target == node]


def _drop(message: Tensor, probability: float) -> Tensor:
    keep = torch.rand(message.shape[0], 1, 1, 1, device=message.device) >= probability
    return message * keep / (1 - probability)


class ChildNetwork(nn.Module):
    """The network of a genotype.

    Args:
        genotype: of a search, or a published one.
        skeleton: depth, width and the images' shape.
        affine: batch norms have weights and pooling has no batch norm, as published networks are
            trained. Otherwise the parts are those of the supernet, to take over its weights.
        keep_dead: build the parts that do not change the function, too, as published networks do.
            In a partial network none is dead, and all are built.

    Raises:
        ValueError: an op is unknown.
    """

    @checked
    def __init__(
        self,
        genotype: Annotated[Genotype, is_instance(Genotype)],
        skeleton: Annotated[Skeleton, is_instance(Skeleton)],
        *,
        affine: Annotated[bool, FLAG],
        keep_dead: Annotated[bool, FLAG] = False,
    ) -> None:
        super().__init__()
        check_ops(sorted(genotype.ops()))
        self.genotype, self.skeleton = genotype, skeleton
        self.plan = skeleton.plan(genotype, keep_dead=keep_dead)
        stages = skeleton.stem_stages()
        self.stem = nn.ModuleDict(
            {
                part.name: part.build(affine=True)
                for i, (_, part) in enumerate(stages)
                if any(self.plan.reads(output) for output, _ in stages[i:])
            }
        )
        self.cells = nn.ModuleList(ChildCell(skeleton, plan, affine) for plan in self.plan.cells)
        channels = self.plan.features.channels
        self.classifier = skeleton.classifier(channels, self.plan.cells[-1]).build(affine=affine)

    def forward(self, images: Tensor, drop_path: float = 0.0) -> Tensor:
        """Class logits, shape ``(B, classes)``, of images ``(B, channels, side, side)``.

        Args:
            images: normalised as in the search.
            drop_path: probability that an image loses an edge, in training mode (global random
                state, as torch's own dropout).
        """
        outputs = {STEM: images, EARLY_STEM: images}
        x = images
        for output, part in self.skeleton.stem_stages():
            if part.name in self.stem:
                x = outputs[output] = self.stem[part.name](x)
        for i, cell in enumerate(self.cells):
            # A slot that nothing reads may hold anything: no preprocessing looks at it.
            inputs = tuple(
                outputs[source.cell if source is not None else STEM]
                for source in self.plan.cells[i].sources
            )
            outputs[i] = cell(inputs, drop_path)
        logits: Tensor = self.classifier(outputs[len(self.cells) - 1])
        return logits

    def inherit(self, supernet: CellSupernet) -> None:
        """Take over the supernet's weights: a copy, with the channels of dead nodes cut out.

        The batch-norm statistics come along but belong to the supernet's soft samples:
        :func:`recalibrate` them.

        Raises:
            ValueError: the supernet is of another skeleton, or lacks a node or op of the genotype.
        """
        theirs, most = supernet.candidates.skeleton, supernet.candidates.nodes
        if theirs != self.skeleton:
            raise ValueError(f"supernet must have the skeleton {self.skeleton}, got {theirs}")
        nodes = max(self.genotype.normal.nodes, self.genotype.reduction.nodes)
        if nodes > most:
            raise ValueError(f"genotype must have at most {most} intermediate nodes, got {nodes}")
        for output, (_, part) in enumerate(self.skeleton.stem_stages()):
            if part.name in self.stem:
                _copy(self.stem[part.name], supernet.stem[output])
        for i, cell in enumerate(self.cells):
            assert isinstance(cell, ChildCell)
            _inherit_cell(cell, supernet.cells[i], most)
        full = supernet.classifier.weight
        assert isinstance(full, Tensor)
        picked = _channel_indices(self.plan.features)
        _copy(self.classifier, supernet.classifier, {"weight": full[:, picked]})


def _inherit_cell(cell: ChildCell, search: Any, nodes: int) -> None:
    for slot, preprocess in cell.preprocess.items():
        source = cell.plan.sources[int(slot)]
        assert source is not None
        picked = _channel_indices(source)
        names = (
            ("even.weight", "odd.weight")
            if isinstance(preprocess, FactorisedReduce)
            else ("1.weight",)
        )
        whole = search.preprocess[int(slot)].state_dict()
        _copy(preprocess, search.preprocess[int(slot)], {n: whole[n][:, picked] for n in names})
    position = {pair: e for e, pair in enumerate(cell_edges(nodes))}
    for edge, op in zip(cell.plan.cell.edges, cell.edges, strict=True):
        op.load_state_dict(search.op_tensors(position[edge.source, edge.target], edge.op))


def _channel_indices(source: Source) -> list[int]:
    """Where the channels that ``source`` reads lie in the supernet's whole concat."""
    if source.cell < 0:
        return list(range(source.channels))
    starts = [(node - INPUTS) * source.width for node in source.nodes]
    return [start + channel for start in starts for channel in range(source.width)]


def _copy(target: nn.Module, source: nn.Module, cut: dict[str, Tensor] | None = None) -> None:
    target.load_state_dict({**source.state_dict(), **(cut or {})})
