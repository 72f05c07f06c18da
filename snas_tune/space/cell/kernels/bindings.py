"""The kernels as Python calls them: the structures of ``common.h`` in ctypes, and one call.

Where the kernels cannot be compiled there are none, and the supernet runs through torch's
operators.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from snas_tune.space.cell.kernels.build import library_bytes, load

log = logging.getLogger(__name__)

NAMES = {torch.float32: "float", torch.float64: "double"}
"""The data types that there are kernels for."""


def _numbers(*names: str) -> list[tuple[str, Any]]:
    return [(name, ctypes.c_int64) for name in names]


def _pointers(*names: str) -> list[tuple[str, Any]]:
    return [(name, ctypes.c_void_p) for name in names]


class Shape(ctypes.Structure):
    """``Shape`` of ``common.h``."""

    _fields_ = _numbers("batch", "height", "width", "channels", "stride", "rectify", "threads")


class Slice(ctypes.Structure):
    """``Slice`` of ``common.h``."""

    _fields_ = [*_pointers("at"), *_numbers("leading")]


class Branch(ctypes.Structure):
    """``Branch`` of ``common.h``."""

    _fields_ = [
        *_numbers("input", "kernel", "dilation"),
        *_pointers("weight"),
        ("output", Slice),
        *_pointers("sums", "products"),
        ("grad", Slice),
        *_pointers("matrix", "spread", "shift", "weight_grad"),
    ]


class Input(ctypes.Structure):
    """``Input`` of ``common.h``."""

    _fields_ = [("value", Slice), ("grad", Slice)]


class Result(ctypes.Structure):
    """``Result`` of ``common.h``."""

    _fields_ = [("value", Slice), *_pointers("bias")]


class Pool(ctypes.Structure):
    """``Pool`` of ``common.h``."""

    _fields_ = [
        *_numbers("largest"),
        ("value", Slice),
        *_numbers("training"),
        *_pointers("running_mean", "running_variance", "mean", "scale", "by_value", "shift"),
    ]


class Pair(ctypes.Structure):
    """``Pair`` of ``common.h``."""

    _fields_ = [("left", Slice), ("right", Slice), *_pointers("products", "sums", "inner")]


class Norm(ctypes.Structure):
    """``Norm`` of ``common.h``."""

    _fields_ = [
        *_pointers("pointwise", "sums", "products", "running_mean", "running_variance"),
        ("weight", ctypes.c_double),
        *_pointers("matrix", "bias", "kept", "matrix_grad", "bias_grad"),
        *_pointers("weight_grad", "pointwise_grad", "spread", "shift"),
    ]


def _term(scalar: Any) -> type[ctypes.Structure]:
    class Term(ctypes.Structure):
        """``Term`` of ``common.h``."""

        _fields_ = [
            *_numbers("result"),
            ("value", Slice),
            *_pointers("matrix", "mean", "scale"),
            ("scalar", scalar),
        ]

    return Term


TERMS = {torch.float32: _term(ctypes.c_float), torch.float64: _term(ctypes.c_double)}

STRUCTURES = (Shape, Slice, Branch, Input, Result, Pool, Pair, Norm)
"""Those that are the same for every data type; :data:`TERMS` are not."""


def plane(planes: Tensor, index: int = 0) -> Slice:
    """One of some planes ``(planes, pixels, channels)``, or the only one ``(pixels, channels)``."""
    pixels, channels = planes.shape[-2:]
    return Slice(planes.data_ptr() + index * pixels * channels * planes.element_size(), channels)


def call(
    name: str, dtype: torch.dtype, shape: Shape, *lists: Sequence[ctypes.Structure] | float
) -> None:
    """Run a kernel; numbers go as they are, a list as its length and its elements.

    Raises:
        RuntimeError: there are no kernels on this machine.
    """
    kernels = library()
    if kernels is None:
        raise RuntimeError("native kernels must have been compiled, got no compiler")
    arguments: list[Any] = [ctypes.byref(shape)]
    for elements in lists:
        if isinstance(elements, float):
            arguments.append(ctypes.c_double(elements))
            continue
        array = (type(elements[0]) * len(elements))(*elements)
        arguments += [ctypes.c_int64(len(elements)), array]
    kernels[f"{name}_{NAMES[dtype]}"](*arguments)


_switched_off = False


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Inside, there are no kernels: everything runs through torch's operators."""
    global _switched_off
    before, _switched_off = _switched_off, True
    try:
        yield
    finally:
        _switched_off = before


def available(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether there are kernels for tensors of that kind on this machine."""
    if _switched_off or device.type != "cpu" or dtype not in NAMES:
        return False
    return library() is not None


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or ``None`` with one line in the log where they cannot be had.

    Raises:
        TypeError: a structure here is not the one of ``common.h``.
    """
    try:
        kernels = load(library_bytes())
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        first = (reason.strip() or repr(error)).splitlines()[0]
        log.warning("no native kernels, so the supernet runs through torch: %s", first)
        return None
    check_layouts(kernels)
    return kernels


def check_layouts(kernels: ctypes.CDLL) -> None:
    """Compare every structure with the one that the library was compiled with.

    Raises:
        TypeError: a size differs, or the place of a field.
    """
    for dtype, name in NAMES.items():
        ours = {structure.__name__: structure for structure in (*STRUCTURES, TERMS[dtype])}
        describe = kernels[f"layouts_{name}"]
        describe.restype = ctypes.c_char_p
        lines = [line.split() for line in describe().decode().splitlines()]
        for structure, size, *fields in lines:
            _check_layout(ours[structure], int(size), fields)


def _check_layout(ours: type[ctypes.Structure], size: int, fields: Sequence[str]) -> None:
    name = ours.__name__
    if ctypes.sizeof(ours) != size:
        raise TypeError(
            f"{name} must have the {size} bytes that it has in C++, got {ctypes.sizeof(ours)}"
        )
    mine = [f"{field}:{getattr(ours, field).offset}" for field, *_ in ours._fields_]
    for theirs, own in zip(fields, mine, strict=True):
        if theirs != own:
            raise TypeError(f"field of {name} must be {theirs} (name:byte) as in C++, got {own}")
