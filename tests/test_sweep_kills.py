"""Sweeps whose processes are killed, for real: what had finished is there, and a resume goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from crashes import LOST, children_of

from snas_tune.front import ParetoFront

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def contents(front: ParetoFront):
    return [{k: v for k, v in row.items() if k != "checkpoint"} for row in front.rows]


FIFO = {"trials": 4, "rule": "fifo", "searcher": "tpe"}


def start_sweep(storage: Path, asked: dict[str, Any], **search: Any) -> subprocess.Popen[str]:
    """A program that runs a sweep called ``k`` and ends with its exit status."""
    settings = {"name": "k", "storage_path": str(storage), **asked}
    code = f"""
import sys
from snas_tune.sweep import SweepSettings, run_sweep, sweep_space
space = sweep_space(penalty=(0.03, 60.0), **{ {**TINY, "epochs": 3, **search}!r})
result = run_sweep(space, SweepSettings(**{settings!r}))
print(*result.problems, f"{{result.stopped}} stopped, {{result.saved:.3f}} saved", sep="\\n")
sys.exit(result.exit_status)
"""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=storage,
    )


def wait_for_rows(storage: Path, count: int, process: subprocess.Popen[str]) -> list[dict]:
    for _ in range(1200):
        try:
            rows = ParetoFront.read(storage / "k").rows
        except ValueError:
            rows = []
        if len(rows) >= count:
            return rows
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    raise AssertionError(f"no {count} rows in two minutes")


def children(storage: Path) -> list[tuple[Any, ...]]:
    keys = ("trial", "epoch", "architecture", "child_accuracy", "flops")
    return [tuple(row[key] for key in keys) for row in ParetoFront.read(storage / "k").rows]


@pytest.mark.timeout(400)
def test_a_sweep_whose_ray_dies_says_so_and_goes_on(tmp_path):
    """Kill -9 of Ray's node process: one line instead of a wait without an end, then resume."""
    asked = {**FIFO, "trials": 2, "concurrent": 1}
    process = start_sweep(tmp_path, asked, supernet="plain")
    wait_for_rows(tmp_path, 1, process)
    (raylet,) = [pid for pid, name in children_of(process.pid).items() if "raylet/raylet" in name]
    os.kill(raylet, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    said = (
        rf"^snas_tune.sweep.watch.SweepLost: Ray's node process \(raylet, pid {raylet}\) died; .*$"
    )
    line = re.search(said, output, re.MULTILINE)
    assert line, output
    assert LOST.search(line[0])
    before = children(tmp_path)
    resumed = start_sweep(tmp_path, {**asked, "resume": True}, supernet="plain")
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, output
    after = children(tmp_path)
    assert len({(trial, epoch) for trial, epoch, *_ in after}) == len(after) == 6
    assert set(before) <= set(after)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_killed_trial_and_a_terminated_driver_lose_no_finished_child(tmp_path):
    """Kill -9 of a trial's process, then SIGTERM to the driver, then resume: as if nothing had
    happened."""
    search = {"batch_size": 16, "supernet": "plain"}
    process = start_sweep(tmp_path, FIFO, **search)
    wait_for_rows(tmp_path, 1, process)
    actors = [pid for pid, name in children_of(process.pid).items() if "ray::SnasTrainable" in name]
    assert actors
    os.kill(actors[0], signal.SIGKILL)
    wait_for_rows(tmp_path, 4, process)
    process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    ended = r"^interrupted: [0-3] of 4 trials ended; go on with the same command and --resume$"
    assert re.search(ended, output, re.M)
    assert "Traceback" not in output
    before = ParetoFront.read(tmp_path / "k").rows
    config = json.loads(before[0]["config"])
    assert (config["batch_size"], config["supernet"]) == (16, "plain")
    resumed = start_sweep(tmp_path, {**FIFO, "resume": True}, **search)
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, output
    after = ParetoFront.read(tmp_path / "k")
    keys = {(row["trial"], row["epoch"]) for row in after.rows}
    assert keys >= {(row["trial"], row["epoch"]) for row in before}
    finished = {trial for trial, epoch in keys if epoch == 3}
    assert len(finished) >= 4
    for trial in finished:
        assert {(trial, epoch) for epoch in (1, 2, 3)} <= keys
    by_key = {(row["trial"], row["epoch"]): row for row in contents(after)}
    for row in before:  # repeated epochs gave the same children
        assert by_key[row["trial"], row["epoch"]]["architecture"] == row["architecture"]
        assert by_key[row["trial"], row["epoch"]]["child_accuracy"] == row["child_accuracy"]
    assert re.search(r"^\[4/4 trials, \d+:\d\d\] ", output, re.MULTILINE)  # nothing is left
