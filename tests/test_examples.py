"""Every example runs, and is short enough to be read at a glance."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from snas_tune import ParetoFront

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))
LONG = ("own_data.py", "own_module.py", "tune_run.py", "tuner.py")
"""Those that take minutes unless they are asked for `--smoke`."""


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=280,
        check=False,
    )


@pytest.mark.parametrize("example", NAMES)
def test_an_example_is_shorter_than_sixty_lines_and_named_in_the_readme(example):
    assert len((EXAMPLES / example).read_text().splitlines()) < 60
    assert f"[{example}](examples/{example})" in (EXAMPLES.parent / "README.md").read_text()


@pytest.mark.parametrize("example", LONG)
def test_an_example_tells_its_arguments_and_starts_nothing(example, tmp_path):
    told = run(tmp_path, example, "--help")
    assert told.stdout.startswith(f"usage: {example} ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "example", ["tune_run.py", pytest.param("tuner.py", marks=pytest.mark.slow)]
)
def test_tune_run_and_the_tuner_end_in_a_front_and_go_on(example, tmp_path):
    done = run(tmp_path, example, "--smoke")
    assert done.returncode == 0, done.stderr
    assert "MFLOPs" in done.stdout
    assert "SnasTrainable" not in done.stderr
    again = run(tmp_path, example, "--smoke")
    assert again.returncode == 1
    assert ".Taken: name must be a new one, got " in again.stderr
    resumed = run(tmp_path, example, "--smoke", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == done.stdout


@pytest.mark.parametrize("example", ["tune_run.py", "tuner.py"])
def test_what_is_not_there_is_not_resumed(example, tmp_path):
    done = run(tmp_path, example, "--resume")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError: name must be that of a sweep to resume, got ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "name"), [("own_data.py", "own-data"), ("own_module.py", "own-module")]
)
def test_a_sweep_with_something_of_the_users_own_ends_in_a_front(example, name, tmp_path):
    done = run(tmp_path, example, "--smoke")
    assert done.returncode == 0, done.stderr
    assert "MFLOPs" in done.stdout
    assert len(ParetoFront.read(tmp_path / "results" / name)) == 2


def test_the_scheduler_stops_trials_of_the_users_own_trainable(tmp_path):
    done = run(tmp_path, "pareto_scheduler.py")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    ended = [int(line.split()[-4]) for line in lines]
    assert max(ended) == 27
    assert sum(epochs < 27 for epochs in ended) >= 2
