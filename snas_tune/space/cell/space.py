"""CellSpace: the cells of DARTS and SNAS as a search space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from snas_tune.architecture import Architecture
from snas_tune.config import SearchConfig
from snas_tune.space.cell.candidates import Candidates
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.space.cell.cost import CellCost, cell_cost, genotype_cost
from snas_tune.space.cell.fused.cell import FusedCell
from snas_tune.space.cell.genotype import Genotype
from snas_tune.space.cell.kernels import bindings, build
from snas_tune.space.cell.kernels.buffers import BUFFERS
from snas_tune.space.cell.layers import LayerSpec
from snas_tune.space.cell.ops import check_ops, import_ops
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cell.supernet import CellSupernet
from snas_tune.space.choices import Choice
from snas_tune.space.cost import combined
from snas_tune.space.latency import read_latencies
from snas_tune.space.space import ImageShape, Implementation, Space
from snas_tune.training.runtime import Runtime


class CellSpace(Space):
    """A normal and a reduction cell, each edge of which carries one op.

    An architecture is a :class:`Genotype`. The settings of the space are ``cells``, ``channels``,
    ``partial_channels``, ``nodes``, ``ops``, ``ops_module`` and ``stem``.
    """

    name = "cell"

    def __init__(self, config: SearchConfig, images: ImageShape) -> None:
        super().__init__(config, images)
        self.check(config)
        skeleton = Skeleton(
            config.cells,
            config.channels,
            config.stem,
            images.size,
            images.channels,
            images.classes,
            config.partial_channels,
        )
        self.candidates = Candidates(skeleton, config.nodes, tuple(config.ops))

    @classmethod
    def check(cls, config: SearchConfig) -> None:
        """As :meth:`Space.check`: every op must be known, after the user's module is imported."""
        import_ops(config.ops_module)
        check_ops(config.ops)

    @property
    def skeleton(self) -> Skeleton:
        """The shapes that no choice changes."""
        return self.candidates.skeleton

    @property
    def choices(self) -> Sequence[Choice]:  # type: ignore[override]  # read-only here
        """As :attr:`Space.choices`: the edges of the normal cell, then of the reduction cell."""
        return self.candidates.choices

    def implementations(self, runtime: Runtime) -> Sequence[Implementation]:
        """As :meth:`Space.implementations`. The native kernels read pixel by pixel."""
        formats = (True,) if uses_kernels(runtime) else (True, False)
        fused = [Implementation("fused", channels_last) for channels_last in formats]
        return [*fused, *super().implementations(runtime)]

    def supernet(self, implementation: str) -> CellSupernet:
        """As :meth:`Space.supernet`; the implementations start with equal weights."""
        checkpointing = self.config.activation_checkpointing
        plain = CellSupernet(self.candidates, checkpointing=checkpointing)
        if implementation == "plain":
            return plain
        fused = CellSupernet(self.candidates, FusedCell, checkpointing=checkpointing)
        fused.load_tensors(dict(plain.named_tensors()))
        return fused

    def child(self, architecture: Architecture, *, affine: bool = False) -> ChildNetwork:
        """As :meth:`Space.child`."""
        return ChildNetwork(self._genotype(architecture), self.skeleton, affine=affine)

    def derive(self, picks: Sequence[int]) -> Genotype:
        """As :meth:`Space.derive`; dead parts are still there."""
        return self.candidates.genotype(picks)

    def picks(self, architecture: Architecture) -> list[int]:
        """As :meth:`Space.picks`."""
        return self.candidates.picks(self._genotype(architecture))

    def live(self, architecture: Architecture) -> Genotype:
        """As :meth:`Space.live`: without dead nodes and edges."""
        return self.skeleton.live(self._genotype(architecture))

    def shape(self) -> dict[str, Any]:
        """As :meth:`Space.shape`."""
        candidates = {"nodes": self.candidates.nodes, "ops": list(self.candidates.ops)}
        return {**asdict(self.skeleton), **candidates}

    def cost(self, name: str) -> CellCost:
        """As :meth:`Space.cost`, counted layer by layer; latency from the config's table."""
        return cell_cost(name, self.candidates, self.latency)

    def prices(self, costs: Mapping[str, Any], weights: Mapping[str, float], form: str) -> Tensor:
        """As :meth:`Space.prices`; the cells of a type are summed last."""
        prices = {name: partial(cost.prices_per_cell, form) for name, cost in costs.items()}
        any_cost: CellCost = next(iter(costs.values()))
        return any_cost.by_choice(combined(prices, weights))

    def child_cost(
        self, name: str, architecture: Architecture, *, keep_unused: bool = False
    ) -> float:
        """As :meth:`Space.child_cost`."""
        genotype = self._genotype(architecture)
        return genotype_cost(
            name, genotype, self.skeleton, keep_dead=keep_unused, latency=self.latency
        )

    def machine(self, runtime: Runtime) -> dict[str, Any]:
        """As :meth:`Space.machine`: the processor and the kernels that were compiled for it."""
        kernels = build.kernels_key() if uses_kernels(runtime) else None
        return {"processor": build.processor_key(), "kernels": kernels}

    def release(self) -> None:
        """As :meth:`Space.release`: the buffers of the native kernels."""
        BUFFERS.clear()

    @cached_property
    def latency(self) -> Mapping[str, float] | None:
        """As :attr:`Space.latency`."""
        table = self.config.latency_table
        return read_latencies(table) if table else None

    def layers(self) -> Sequence[LayerSpec]:
        """As :meth:`Space.layers`."""
        return self.candidates.layers()

    def _genotype(self, architecture: Architecture) -> Genotype:
        if not isinstance(architecture, Genotype):
            raise ValueError(
                f"architecture must be of space {self.name}, "
                f"got one of {getattr(architecture, 'space', type(architecture).__name__)}"
            )
        return architecture


def uses_kernels(runtime: Runtime) -> bool:
    """Whether the fused supernet runs through the native kernels, not through torch's operators."""
    plain = runtime.autocast is None and not runtime.compile
    return plain and bindings.available(runtime.device, runtime.dtype)
