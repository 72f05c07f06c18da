"""The values that one call of the kernels reads: weights, statistics, sizes, sample, shared ops.

The modules make them for one call; everything behind the modules takes these values and knows no
module. Shapes: ``B`` images, ``E`` edges that leave a node, ``Q`` separable ops, ``J`` shared ops,
``C`` channels. The separable ops of two stages come before those of one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

EPS = 1e-5
"""Of batch norm: torch's default, as in the ops themselves."""

MOMENTUM = 0.1
"""Of batch norm's running statistics: torch's default, as in the ops themselves."""

EdgeOp: TypeAlias = tuple[int, int]
"""An op of an edge: position of the edge among those that leave the node, position of the op."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Running statistics of batch norms: the module's own buffers, which training moves."""

    mean: Tensor
    """Shape ``(..., C)``."""

    variance: Tensor
    """Shape ``(..., C)``."""

    batches: Tensor
    """How many batches were seen, ``(...)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Depthwise:
    """Depthwise kernels of one op, for every edge."""

    kernel: int
    dilation: int

    weight: Tensor
    """Shape ``(E, C, kernel, kernel)``."""


@dataclass(frozen=True, slots=True, eq=False)
class StageWeights:
    """One stage of the separable ops: depthwise and pointwise convolution, batch norm."""

    depthwise: tuple[Depthwise, ...]
    """One for each of the ``Q`` ops that have this stage."""

    pointwise: Tensor
    """Shape ``(Q, E, C out, C in)``."""

    statistics: Statistics
    """Of batch norm, ``(Q, E, C)``."""

    def parameters(self) -> list[Tensor]:
        """The tensors that get a gradient."""
        return [self.pointwise, *(each.weight for each in self.depthwise)]


@dataclass(frozen=True, slots=True, eq=False)
class EdgeWeights:
    """Everything about the separable ops of the edges that leave one node."""

    channels: int
    edges: int

    stride: int
    """Of the edges: 1 or 2."""

    stages: tuple[StageWeights, StageWeights]
    """The first has every op, the second those of two stages."""

    training: bool
    """Normalise by the batch's statistics, not by the running ones."""

    track_running_stats: bool
    """Training moves the running statistics."""

    @property
    def ops(self) -> int:
        """Number of separable ops."""
        return len(self.stages[0].depthwise)

    @property
    def two_stage(self) -> int:
        """Number of separable ops of two stages; they come first."""
        return len(self.stages[1].depthwise)

    @property
    def momentum(self) -> float:
        """Of the running statistics; 0 where they stay."""
        return MOMENTUM if self.track_running_stats else 0.0

    def parameters(self) -> list[Tensor]:
        """The tensors that get a gradient, stage by stage."""
        return [tensor for stage in self.stages for tensor in stage.parameters()]


@dataclass(frozen=True, slots=True, eq=False)
class PoolNorm:
    """Pooling over windows of 3x3 and the batch norm behind it."""

    largest: bool
    """The maximum of a window, or else its mean."""

    statistics: Statistics
    """Of batch norm, ``(C,)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A node, and how its shared ops are computed: once for all edges that leave it.

    Every shared op is in one of the three collections, by its position among them.
    """

    x: Tensor
    """The node, ``(B, C, H, W)``."""

    pools: Mapping[int, PoolNorm]

    identities: Collection[int]
    """Ops that give the node itself."""

    made: Mapping[int, Tensor]
    """Results of the other ops, of the messages' shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The sample ``Z`` of the architecture for the edges that leave a node; the ops that run."""

    separable: Tensor
    """Shape ``(E, Q)``."""

    shared: Tensor
    """Shape ``(E, J)``."""

    separable_runs: Sequence[EdgeOp]
    shared_runs: Sequence[EdgeOp]
