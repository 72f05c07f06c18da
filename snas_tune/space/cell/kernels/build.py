"""The compiler of the kernels, and the cache that keeps the library it makes.

The kernels are compiled by the machine's own C++ compiler when they are first needed, for the
machine's own instructions, and kept in the user's cache.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from snas_tune.owned import cache_directory, read_own, write_own

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "fused.cpp"
FLAGS = ("-O3", "-march=native", "-std=c++20", "-shared", "-fPIC", "-pthread")
MOST_BYTES = 1 << 28
"""A longer file is no library of these kernels."""

DIGEST_BYTES = hashlib.sha256().digest_size
PATIENCE = 600.0
"""Seconds in which the compiler must end."""

COMPILERS = ("c++", "g++", "clang++")


def kernels_key() -> str:
    """A digest of the source, the compiler with its flags, and the processor: 16 hex digits."""
    sources = [path.read_text() for path in sorted([*FOLDER.glob("*.h"), SOURCE])]
    parts = [*sources, *FLAGS, str(_compiler()), _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def processor_key() -> str:
    """A digest of this kind of processor: eight hex digits."""
    return hashlib.sha256(_processor().encode()).hexdigest()[:8]


def library_bytes() -> bytes:
    """The shared library of this source, these flags and this processor; compiled if it is new.

    It is kept in the user's cache with a digest behind it. A file there that another user may have
    written, or that is not whole, is none. A library that cannot be kept is used all the same.

    Raises:
        RuntimeError: no compiler is installed.
        CalledProcessError: the compiler failed; its ``stderr`` says why.
        OSError: there is no room for temporary files.
    """
    path = cache_directory() / f"fused-{kernels_key()}.so"
    kept = read_own(path, MOST_BYTES)
    library = None if kept is None else unsealed(kept, path.name)
    if library is not None:
        return library
    if path.exists() or path.is_symlink():
        reason = "is not this user's own file" if kept is None else "is damaged"
        log.warning("compiled kernels %s %s, so they are compiled anew", path, reason)
    library = _compile()
    try:
        write_own(path, sealed(library, path.name))
    except OSError as error:
        log.warning("compiled kernels cannot be kept, so each process compiles them: %s", error)
    return library


def sealed(library: bytes, name: str) -> bytes:
    """A library as it is kept under a name: with a digest of both behind it."""
    return library + _digest(library, name)


def unsealed(content: bytes, name: str) -> bytes | None:
    """The library that :func:`sealed` got; None if the content is not whole or of another name."""
    library, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    return library if digest == _digest(library, name) else None


def _digest(library: bytes, name: str) -> bytes:
    return hashlib.sha256(f"{name}\0{len(library)}\0".encode() + library).digest()


def _compile() -> bytes:
    compiler = _compiler()
    if compiler is None:
        raise RuntimeError(f"none of {', '.join(COMPILERS)} is installed")
    with tempfile.TemporaryDirectory(prefix="snas_tune-") as folder:
        path = Path(folder) / "fused.so"
        command = [compiler, *FLAGS, str(SOURCE), "-o", str(path)]
        sys.stderr.write("compiling the kernels, once for this machine, up to a minute ...\n")
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
        return path.read_bytes()


def load(library: bytes) -> ctypes.CDLL:
    """Load a shared library from memory, so that nobody can change its file meanwhile.

    A library whose file becomes shorter while it is loaded ends the process.

    Raises:
        OSError: it cannot be loaded.
    """
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # where the system forbids it
            # Not closed: the loader takes a path that it knows for the library that it knows.
            descriptor = os.memfd_create("snas_tune-kernels")
            with os.fdopen(descriptor, "wb", closefd=False) as stream:
                stream.write(library)
            return ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    with tempfile.TemporaryDirectory(prefix="snas_tune-") as folder:
        path = Path(folder) / "fused.so"
        path.write_bytes(library)
        return ctypes.CDLL(str(path))


def _compiler() -> str | None:
    return next((found for name in COMPILERS if (found := shutil.which(name))), None)


def _processor() -> str:
    """The processor's features, on which the code of ``-march=native`` depends."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.platform() + platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    lines = {line for line in text.splitlines() if line.startswith(wanted)}
    return "\n".join(sorted(lines))
