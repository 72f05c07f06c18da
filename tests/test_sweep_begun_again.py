"""Real sweeps that are begun twice, killed before their first result, and prolonged."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY

from snas_tune.front import ParetoFront

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

ASKED = {"name": "x", "trials": 3, "concurrent": 2, "rule": "fifo", "searcher": "tpe"}


def start(storage: Path, **asked: Any) -> subprocess.Popen[str]:
    """A program that runs a sweep."""
    settings = {**ASKED, "storage_path": str(storage), **asked}
    code = f"""
import sys
from snas_tune.sweep import SweepSettings, run_sweep, sweep_space
try:
    result = run_sweep(sweep_space(**{TINY!r}), SweepSettings(**{settings!r}))
except ValueError as error:
    sys.exit(f"refused: {{error}}")
print(*result.problems, sep="\\n")
sys.exit(result.exit_status)
"""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], cwd=storage, **pipes)


def end(process: subprocess.Popen[str], status: int = 0) -> str:
    said, _ = process.communicate(timeout=400)
    assert process.returncode == status, said
    return said


def whole(storage: Path, trials: int) -> ParetoFront:
    """The front of a sweep of which every trial ended, each child once, with its checkpoints."""
    front = ParetoFront.read(storage / "x")
    keys = [(row["trial"], row["epoch"]) for row in front.rows]
    assert len(keys) == len(set(keys)) == trials * TINY["epochs"]
    assert all((storage / "x" / row["checkpoint"]).is_dir() for row in front.front)
    named = {row["checkpoint"] for row in front.rows if row["checkpoint"]}
    assert named == {row["checkpoint"] for row in front.front}
    there = {str(path.relative_to(storage / "x")) for path in storage.glob("x/*/checkpoint_*")}
    assert there == named
    return front


@pytest.mark.parametrize(
    "reached",
    [
        lambda path: (path / ".owner").exists(),
        lambda path: (path / "sweep.json").exists(),
        lambda path: bool(list(path.glob("experiment_state-*"))),
    ],
    ids=["claimed", "described", "saved"],
)
@pytest.mark.parametrize("resume", [True, False])
def test_a_sweep_that_is_killed_before_its_first_result_begins_again(
    reached: Callable[[Path], bool], resume: bool, tmp_path
):
    process = start(tmp_path)
    for _ in range(4000):
        if reached(tmp_path / "x"):
            break
        time.sleep(0.05)
    process.kill()
    process.communicate()
    saved = list((tmp_path / "x").glob("experiment_state-*"))
    if (tmp_path / "x" / "front.parquet").exists():
        pytest.skip("its first result was faster")
    said = end(start(tmp_path, resume=resume))
    begins = f"sweep x in {tmp_path} has no results yet: it begins\n"
    assert (begins in said) == (resume and not saved)
    whole(tmp_path, 3)


def test_of_two_sweeps_of_a_name_that_begin_at_once_one_goes_on(tmp_path):
    both = [start(tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=400)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    lost = both[0].returncode
    line = said[0 if lost else 1]
    winner = both[1 if lost else 0].pid
    assert re.fullmatch(
        rf"refused: name must be that of a sweep that no process runs, got 'x': process {winner} "
        r"on host \S+ has run it since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n",
        line,
    ), line
    whole(tmp_path, 3)


@pytest.mark.parametrize("rule", ["pareto", "fifo"])
def test_a_sweep_that_has_ended_goes_on_with_more_trials(rule, tmp_path):
    end(start(tmp_path, rule=rule))
    before = ParetoFront.read(tmp_path / "x").rows
    refused = end(start(tmp_path, rule=rule, resume=True, trials=2), 1)
    assert "refused: trials must be at least 3, which the sweep to resume has begun" in refused
    changes = {"trials": 7, "concurrent": 1, "max_failures": 3, "checkpoint_every": 2}
    said = end(start(tmp_path, rule=rule, resume=True, **changes))
    assert re.search(r"^\[7/7 trials, ", said, re.M), said
    front = ParetoFront.read(tmp_path / "x")
    after = {(row["trial"], row["epoch"]): row for row in front.rows}
    for row in before:
        kept = after[row["trial"], row["epoch"]]
        assert (kept["architecture"], kept["flops"]) == (row["architecture"], row["flops"])
    assert len({row["trial"] for row in front.rows}) == 7
    if rule == "fifo":
        assert len(front) == 7 * TINY["epochs"]
    assert all(
        row["checkpoint"] is None or (tmp_path / "x" / row["checkpoint"]).is_dir()
        for row in front.rows
    )


def test_a_tuner_that_is_restored_while_its_sweep_runs_is_refused(tmp_path):
    code = """
import os
import sys, threading, time
from pathlib import Path
from ray import tune
from snas_tune.sweep import SweepSettings, make_tuner, sweep_space, tuner_trainable
space = sweep_space(**{**TINY, "epochs": 40})
tuner = make_tuner(space, SweepSettings(name="x", storage_path=sys.argv[1], trials=2))
thread = threading.Thread(target=tuner.fit, daemon=True)
thread.start()
while not list(Path(sys.argv[1]).glob("x/front*")):
    time.sleep(0.1)
try:
    tune.Tuner.restore(f"{sys.argv[1]}/x", tuner_trainable()).fit()
except Exception as error:
    print("refused:", error)
    sys.stdout.flush()
    os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", f"TINY = {TINY!r}\n{code}", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert "name must be that of a sweep that no process runs, got 'x'" in done.stdout, done
