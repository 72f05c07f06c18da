"""Every example runs, as the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from snas_tune import ParetoFront

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=280,
        check=False,
    )


def test_a_sweep_ends_in_a_front_from_which_a_cell_can_be_taken(tmp_path):
    swept = run(tmp_path, "sweep.py", "--trials", "2", "--epochs", "1", "--name", "s")
    assert swept.returncode == 0, swept.stderr
    for part in ("MFLOPs", "front file", "tensorboard --logdir", "take a cell"):
        assert part in swept.stdout
    assert "2/2 trials" in swept.stderr
    budget = float(re.search(r"--max-mflops ([0-9.]+)$", swept.stdout, re.MULTILINE)[1])
    front = ParetoFront.read(tmp_path / "results/s")
    best = front.best(max_flops=budget * 1e6)
    assert (best["trial"], best["epoch"]) in {(r["trial"], r["epoch"]) for r in front.front}
    assert (tmp_path / "results/s/pictures/front.png").exists()
    taken = run(
        tmp_path,
        "take_cell.py",
        "results/s",
        "--max-mflops",
        "5",
        "--epochs",
        "1",
        "--export",
        "cell.pt2",
    )
    assert taken.returncode == 0, taken.stderr
    assert "trained: test" in taken.stdout
    assert (tmp_path / "cell.pt2").stat().st_size > 1000
    none = run(tmp_path, "take_cell.py", "results/s", "--max-mflops", "0.000001")
    assert none.returncode == 2
    assert none.stderr.startswith("error: no point has flops <= 1")


@pytest.mark.parametrize(
    "example", ["tune_run.py", pytest.param("tuner.py", marks=pytest.mark.slow)]
)
def test_tune_run_and_the_tuner_end_in_a_front(example, tmp_path):
    told = run(tmp_path, example, "--help")
    assert told.stdout.startswith(f"usage: {example} ")
    assert list(tmp_path.iterdir()) == []  # nothing has started
    done = run(tmp_path, example, "--smoke")
    assert done.returncode == 0, done.stderr
    assert "MFLOPs" in done.stdout
    assert "SnasTrainable" not in done.stderr
    again = run(tmp_path, example, "--smoke")
    assert again.returncode == 2
    assert again.stderr.startswith("error: name must be a new one, got ")
    resumed = run(tmp_path, example, "--smoke", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == done.stdout


@pytest.mark.parametrize("example", ["tune_run.py", "tuner.py"])
def test_what_is_not_there_is_not_resumed(example, tmp_path):
    done = run(tmp_path, example, "--resume")
    assert done.returncode == 2
    assert done.stderr.startswith("error: name must be that of a sweep to resume, got ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "nowhere/at/all"), ""),
        (
            ("--partial-channels", "3", "--trials", "0"),
            "channels must be a multiple of partial_channels, which is 3, got 8",
        ),
    ],
)
def test_wrong_input_gives_one_line_and_exit_status_two(tmp_path, arguments, message):
    done = run(tmp_path, "sweep.py", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
