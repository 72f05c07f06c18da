"""The compiled kernels of ``kernels/``: built once for a machine, and called on torch tensors.

They are compiled by the machine's own C++ compiler when they are first needed, for its own
instructions, and kept in the user's cache. Without a compiler there are none, and the supernet runs
through torch's operators.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import logging
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "fused.cpp"
FLAGS = ("-O3", "-march=native", "-std=c++20", "-shared", "-fPIC", "-pthread")
COMPILERS = ("c++", "g++", "clang++")

NAMES = {torch.float32: "float", torch.float64: "double"}
"""The data types that there are kernels for."""


class Shape(ctypes.Structure):
    """``Shape`` of ``kernels/common.h``."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("batch", "height", "width", "channels", "stride", "rectify", "threads")
    ]


class _Slice(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("leading", ctypes.c_int64)]


class Branch(ctypes.Structure):
    """``Branch`` of ``kernels/common.h``."""

    _fields_ = [
        ("input", ctypes.c_int64),
        ("kernel", ctypes.c_int64),
        ("dilation", ctypes.c_int64),
        ("weight", ctypes.c_void_p),
        ("output", _Slice),
        ("sums", ctypes.c_void_p),
        ("products", ctypes.c_void_p),
        ("grad", _Slice),
        ("matrix", ctypes.c_void_p),
        ("spread", ctypes.c_void_p),
        ("shift", ctypes.c_void_p),
        ("weight_grad", ctypes.c_void_p),
    ]


class Input(ctypes.Structure):
    """``Input`` of ``kernels/common.h``."""

    _fields_ = [("value", _Slice), ("grad", _Slice)]


class Result(ctypes.Structure):
    """``Result`` of ``kernels/common.h``."""

    _fields_ = [("value", _Slice), ("bias", ctypes.c_void_p)]


class Pool(ctypes.Structure):
    """``Pool`` of ``kernels/common.h``."""

    _fields_ = [
        ("largest", ctypes.c_int64),
        ("value", _Slice),
        ("training", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("running_mean", "running_variance")),
        *((name, ctypes.c_void_p) for name in ("mean", "scale", "by_value", "shift")),
    ]


class Pair(ctypes.Structure):
    """``Pair`` of ``kernels/common.h``."""

    _fields_ = [
        ("left", _Slice),
        ("right", _Slice),
        ("products", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("inner", ctypes.c_void_p),
    ]


class Norm(ctypes.Structure):
    """``Norm`` of ``kernels/common.h``."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("pointwise", "sums", "products")),
        *((name, ctypes.c_void_p) for name in ("running_mean", "running_variance")),
        ("weight", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("matrix", "bias", "kept", "matrix_grad")),
        *((name, ctypes.c_void_p) for name in ("bias_grad", "weight_grad", "pointwise_grad")),
        *((name, ctypes.c_void_p) for name in ("spread", "shift")),
    ]


def _term(scalar: Any) -> type[ctypes.Structure]:
    class Term(ctypes.Structure):
        """``Term`` of ``kernels/common.h``."""

        _fields_ = [
            ("result", ctypes.c_int64),
            ("value", _Slice),
            *((name, ctypes.c_void_p) for name in ("matrix", "mean", "scale")),
            ("scalar", scalar),
        ]

    return Term


TERMS = {torch.float32: _term(ctypes.c_float), torch.float64: _term(ctypes.c_double)}


def plane(planes: Tensor, index: int = 0) -> _Slice:
    """One of some planes ``(planes, pixels, channels)``, or the only one ``(pixels, channels)``."""
    pixels, channels = planes.shape[-2:]
    return _Slice(planes.data_ptr() + index * pixels * channels * planes.element_size(), channels)


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


class Buffers:
    """Large tensors that are used again: a step needs the same ones as the step before it.

    Fresh memory costs a page fault for every few kilobytes, on large batches as much time as the
    arithmetic. So what is given back is kept, as a GPU's allocator does, and large pages are asked
    for where the system has them.
    """

    def __init__(self) -> None:
        self._free: dict[tuple[int, torch.dtype], list[Tensor]] = {}

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor."""
        size = math.prod(shape)
        free = self._free.get((size, dtype))
        if free:
            return free.pop().view(shape)
        fresh = torch.empty(size, dtype=dtype)
        _ask_for_large_pages(fresh)
        return fresh.view(shape)

    def give(self, tensor: Tensor) -> None:
        """Take back a tensor that nothing reads any more."""
        self._free.setdefault((tensor.numel(), tensor.dtype), []).append(tensor.view(-1))

    def clear(self) -> None:
        """Let go of what was given back."""
        self._free.clear()


def _ask_for_large_pages(buffer: Tensor) -> None:
    page, advice = 1 << 21, 14  # 2 MiB, and MADV_HUGEPAGE of Linux
    size = buffer.numel() * buffer.element_size()
    start = -(-buffer.data_ptr() // page) * page
    length = (buffer.data_ptr() + size - start) // page * page
    if sys.platform == "linux" and length > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or ``None`` with one line in the log where they cannot be had."""
    try:
        return ctypes.CDLL(str(_built()))
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        first = (reason.strip() or repr(error)).splitlines()[0]
        log.warning("no native kernels, so the supernet runs through torch: %s", first)
        return None


def cache_directory() -> Path:
    """Where compiled kernels are kept: ``$SNAS_TUNE_CACHE``, or below the user's cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snas_tune"
    return Path(os.environ.get("SNAS_TUNE_CACHE") or default)


def kernels_key() -> str:
    """What the compiled kernels depend on, as 16 hexadecimal digits.

    That is their source, the compiler with its flags, and the processor.
    """
    sources = [path.read_text() for path in sorted(FOLDER.glob("*.[ch]*")) if path.suffix != ".pyc"]
    parts = [*sources, *FLAGS, str(_compiler()), _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _compiler() -> str | None:
    return next((found for name in COMPILERS if (found := shutil.which(name))), None)


def _built() -> Path:
    """The shared library of this source, these flags and this processor; compiled if it is new."""
    compiler = _compiler()
    path = cache_directory() / f"fused-{kernels_key()}.so"
    if path.exists():
        return path
    if compiler is None:
        raise RuntimeError(f"none of {', '.join(COMPILERS)} is installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        partial = Path(scratch, path.name)
        subprocess.run(
            [compiler, *FLAGS, str(SOURCE), "-o", str(partial)],
            check=True,
            capture_output=True,
            text=True,
        )
        partial.replace(path)  # trials that compile at the same time replace it by the same
    return path


def processor_key() -> str:
    """This kind of processor, as eight hexadecimal digits."""
    return hashlib.sha256(_processor().encode()).hexdigest()[:8]


def _processor() -> str:
    """What ``-march=native`` depends on."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.platform() + platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    lines = {line for line in text.splitlines() if line.startswith(wanted)}
    return "\n".join(sorted(lines))
