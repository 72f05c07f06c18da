"""Every call of the system fails in turn while a file is written: never a half file, one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from failing_calls import SUBJECTS

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="no LD_PRELOAD or no C compiler"
)


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> Path:
    shim = tmp_path_factory.mktemp("shim") / "failing_calls.so"
    source = HERE / "failing_calls.c"
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(shim), "-ldl"], check=True)
    return shim


def calls_of(shim: Path, folder: Path, *subjects: str) -> dict[str, int]:
    """The number of calls of each subject, all of which have failed, without a fault."""
    folder.mkdir()
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    done = subprocess.run(
        [sys.executable, str(HERE / "failing_calls.py"), str(shim), str(folder), *subjects],
        env={**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "FAULT" not in done.stdout, done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name.rstrip(":"): int(count) for name, count, _ in lines}


def test_files_are_whole_whichever_call_fails(shim, tmp_path):
    found = calls_of(shim, tmp_path / "files", "front", "csv", "latency")
    assert min(found.values()) >= 4  # open, write, close and rename at least
    assert found["front"] > found["latency"]  # it waits for the disk


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_so_is_everything_else_that_is_written(shim, tmp_path, subject):
    assert calls_of(shim, tmp_path / "files", subject)[subject] >= 4
