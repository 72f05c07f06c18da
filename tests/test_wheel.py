"""A wheel in an environment of its own, away from any checkout: the command sweeps and takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import TINY

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def alone() -> dict[str, str]:
    """The environment variables of a process that knows no checkout."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, as setuptools packs whatever an earlier build has left in the folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "snas_tune", source / "snas_tune")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source]
    subprocess.run([*map(str, command)], check=True, timeout=600, env=alone())
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment that has the wheel, and borrows all that it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    command = [*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, timeout=600, env=alone())
    # A line of a .pth file adds a folder, but not what its own .pth files add: no editable install.
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def call(environment: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(environment / "bin" / words[0]), *words[1:]],
        capture_output=True,
        text=True,
        cwd=folder,
        env=alone(),
        timeout=600,
        check=False,
    )


def test_the_wheel_has_all_that_is_not_python(wheel: Path) -> None:
    names = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    package = ROOT / "snas_tune"
    for pattern in ("data/*.npz", "data/*.txt", "plugin/static/*", "space/cell/kernels/*.cpp"):
        found = {path.relative_to(ROOT) for path in package.glob(pattern)}
        assert found <= names, pattern
        assert found, pattern
    assert not any(name.parts[0] in ("tests", "examples", "benchmarks") for name in names)


def test_the_command_of_a_wheel_sweeps_and_takes(environment: Path, tmp_path: Path) -> None:
    where = call(
        environment, tmp_path, "python", "-c", "import snas_tune; print(snas_tune.__file__)"
    )
    assert Path(where.stdout.strip()).is_relative_to(environment), where
    sizes = [f"--set={name}={value}" for name, value in TINY.items()]
    words = ("sweep", "--name=first", "--trials=2", "--epochs=1", *sizes)
    swept = call(environment, tmp_path, "snas-tune", *words)
    assert swept.returncode == 0, swept.stderr
    assert "front file " in swept.stdout
    words = ("take", "results/first", "--max-mflops=9", "--epochs=1", "--export=cell.pt2")
    taken = call(environment, tmp_path, "snas-tune", *words)
    assert taken.returncode == 0, taken.stderr
    assert "trained: " in taken.stdout
    assert (tmp_path / "cell.pt2").stat().st_size > 1000
    logged = call(environment, tmp_path, "snas-tune", "log", "results/first", "--logdir=logs")
    assert logged.returncode == 0, logged.stderr
    assert (tmp_path / "logs" / "first").is_dir()
