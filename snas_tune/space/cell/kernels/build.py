"""The compiler of the kernels, and the cache that keeps the library it makes.

The kernels are compiled by the machine's own C++ compiler when they are first needed, for the
machine's own instructions, and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from snas_tune.files import cache_directory, replacing

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "fused.cpp"
FLAGS = ("-O3", "-march=native", "-std=c++20", "-shared", "-fPIC", "-pthread")
COMPILERS = ("c++", "g++", "clang++")


def kernels_key() -> str:
    """A digest of the source, the compiler with its flags, and the processor: 16 hex digits."""
    sources = [path.read_text() for path in sorted([*FOLDER.glob("*.h"), SOURCE])]
    parts = [*sources, *FLAGS, str(_compiler()), _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def processor_key() -> str:
    """A digest of this kind of processor: eight hex digits."""
    return hashlib.sha256(_processor().encode()).hexdigest()[:8]


def compiled() -> Path:
    """The shared library of this source, these flags and this processor; compiled if it is new.

    Raises:
        RuntimeError: no compiler is installed.
        CalledProcessError: the compiler failed; its ``stderr`` says why.
        OSError: the cache cannot be written.
    """
    path = cache_directory() / f"fused-{kernels_key()}.so"
    if path.exists():
        return path
    compiler = _compiler()
    if compiler is None:
        raise RuntimeError(f"none of {', '.join(COMPILERS)} is installed")
    # Trials that compile at the same time replace the file by the same one.
    with replacing(path) as partial:
        command = [compiler, *FLAGS, str(SOURCE), "-o", str(partial)]
        sys.stderr.write("compiling the kernels, once for this machine, up to a minute ...\n")
        subprocess.run(command, check=True, capture_output=True, text=True)
    return path


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
