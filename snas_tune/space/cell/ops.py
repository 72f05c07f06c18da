"""The candidate ops by name: the search space. A new op is one entry in :data:`OPS`.

Its cost needs no entry: :mod:`snas_tune.space.cost` counts it from the module itself. Kernels,
padding and the order ReLU, convolution, batch norm are those of DARTS (Liu et al., 2019,
``operations.py``), which SNAS searches over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.imports import import_named
from snas_tune.space.cell.genotype import NONE


@dataclass(frozen=True, slots=True)
class Op:
    """How an op is built."""

    build: Callable[[int, int, bool], nn.Module]
    """``(channels, stride, affine)`` to a module that keeps the channels.

    Write it from modules (``nn.ReLU``, not ``F.relu``): memory access is counted layer by layer.
    """

    bare: bool = False
    """It has no batch norm of its own. A search adds one, so that the ops of an edge are of one
    scale; a child that is trained anew goes without, as published."""

    pool: str | None = None
    """``max`` or ``mean``, where the op is that of windows of 3x3: then the fused supernet has a
    kernel for it and for the batch norm that a search adds."""

    stages: tuple[tuple[int, int], ...] = ()
    """For separable convolutions, ``(kernel, dilation)`` of each stage (ReLU, depthwise, pointwise,
    batch norm), of which the first has the stride. With it, the fused supernet runs the op for all
    edges of a node at once; without it, edge by edge."""


def batch_norm(channels: int, affine: bool) -> nn.BatchNorm2d:
    """Batch norm as every op has it."""
    return nn.BatchNorm2d(channels, affine=affine)


def _convolution(
    channels_in: int,
    channels_out: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (height - 1) // 2, dilation * (width - 1) // 2)
    return nn.Conv2d(
        channels_in, channels_out, kernel, stride, padding, dilation, groups, bias=False
    )


def relu_conv_norm(
    channels_in: int, channels_out: int, kernel: int, stride: int, affine: bool
) -> nn.Sequential:
    """ReLU, convolution, batch norm: a cell's preprocessing with a kernel of 1."""
    return nn.Sequential(
        nn.ReLU(),
        _convolution(channels_in, channels_out, kernel, stride),
        batch_norm(channels_out, affine),
    )


def _separable_stage(
    channels: int, kernel: int, stride: int, dilation: int, affine: bool
) -> list[nn.Module]:
    return [
        nn.ReLU(),
        _convolution(channels, channels, kernel, stride, dilation, groups=channels),
        _convolution(channels, channels, 1),
        batch_norm(channels, affine),
    ]


def _separable(kernel: int) -> Op:
    def build(channels: int, stride: int, affine: bool) -> nn.Module:
        return nn.Sequential(
            *_separable_stage(channels, kernel, stride, 1, affine),
            *_separable_stage(channels, kernel, 1, 1, affine),
        )

    return Op(build, stages=((kernel, 1), (kernel, 1)))


def _dilated(kernel: int) -> Op:
    def build(channels: int, stride: int, affine: bool) -> nn.Module:
        return nn.Sequential(*_separable_stage(channels, kernel, stride, 2, affine))

    return Op(build, stages=((kernel, 2),))


def _factorised(kernel: int) -> Op:
    def build(channels: int, stride: int, affine: bool) -> nn.Module:
        return nn.Sequential(
            nn.ReLU(),
            _convolution(channels, channels, (1, kernel), (1, stride)),
            _convolution(channels, channels, (kernel, 1), (stride, 1)),
            batch_norm(channels, affine),
        )

    return Op(build)


def _plain(kernel: int) -> Op:
    return Op(
        lambda channels, stride, affine: relu_conv_norm(channels, channels, kernel, stride, affine)
    )


def _average(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)


def _maximum(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.MaxPool2d(3, stride, padding=1)


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorisedReduce(channels, channels, affine)


class Zero(nn.Module):
    """The op ``none``: zeros of the size that the other ops of its edge have."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class FactorisedReduce(nn.Module):
    """Halve the side by two 1x1 convolutions, the second of which sees the pixels between.

    An odd side is first padded by a row and a column of zeros, so the result has the side
    ``ceil(side / 2)`` of the strided ops; for even sides this is DARTS' ``FactorizedReduce``.
    """

    def __init__(self, channels_in: int, channels_out: int, affine: bool) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(channels_in, channels_out - channels_out // 2, 1, 2, bias=False)
        self.norm = batch_norm(channels_out, affine)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = self.relu(x)
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2))
        halves: Tensor = self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))
        return halves


OPS: dict[str, Op] = {
    NONE: Op(lambda channels, stride, affine: Zero(stride)),
    "max_pool_3x3": Op(_maximum, bare=True, pool="max"),
    "avg_pool_3x3": Op(_average, bare=True, pool="mean"),
    "skip_connect": Op(_skip),
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "sep_conv_7x7": _separable(7),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
    "conv_3x1_1x3": _factorised(3),
    "conv_7x1_1x7": _factorised(7),
    "nor_conv_1x1": _plain(1),
    "nor_conv_3x3": _plain(3),
}
"""Every op that a search may use or a published genotype may name."""


def import_ops(module: str | None) -> None:
    """Import the user's module that adds its ops to :data:`OPS`; nothing if not given.

    Raises:
        ValueError: it cannot be imported.
    """
    if module is None:
        return
    import_named("ops_module", module)


def check_ops(names: Iterable[str]) -> None:
    """Raise ``ValueError`` unless every name is in :data:`OPS`."""
    for name in names:
        if name not in OPS:
            raise ValueError(f"op must be one of {', '.join(OPS)}, got {name!r}")


def build_op(name: str, channels: int, stride: int, *, affine: bool) -> nn.Module:
    """The module of an op that maps ``(B, channels, H, W)`` to the same channels.

    Args:
        name: a key of :data:`OPS`.
        channels: in and out.
        stride: 1 or 2; the output side is ``ceil(side / stride)``.
        affine: batch norms have weights, and bare ops none, as in a child that is trained anew.
            Otherwise as in a search: batch norms without weights, one behind bare ops too.

    Raises:
        ValueError: the name is unknown.
    """
    check_ops([name])
    op = OPS[name]
    module = op.build(channels, stride, affine)
    if op.bare and not affine:
        return nn.Sequential(module, batch_norm(channels, affine=False))
    return module
