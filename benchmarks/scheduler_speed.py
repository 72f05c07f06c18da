"""What a decision of the scheduler costs, and the front of a large sweep.

    python benchmarks/scheduler_speed.py

Many trials run at once, with the costs of a noisy penalty sweep, and report at ten rungs to a
scheduler, which writes its journal to a disk or does not. The front is that of 100,000 children in
a front file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import pyarrow.fs
from ray.tune.experiment import Trial

from snas_tune.front import SCHEMA, FrontFile, ParetoFront
from snas_tune.stopping import RULES
from snas_tune.sweep.scheduler import ParetoScheduler

AT_ONCE = 64
"""Trials that run at a time."""


def decisions(rule: str, trials: int, journal: str | None) -> tuple[int, float]:
    """How many decisions a sweep takes, and the seconds of all of them."""
    generator = np.random.default_rng(0)
    strengths = np.exp(generator.uniform(np.log(0.03), np.log(60), trials))
    noise = generator.normal(0, 0.02, (trials, 11))
    scheduler = ParetoScheduler(
        time_attr="epoch", max_t=512, grace_period=1, reduction_factor=2, rule=rule
    )
    count, spent = 0, 0.0
    waiting = iter(range(trials))
    running: list[tuple[int, Trial, int]] = []  # number, trial, rung
    while True:
        while len(running) < AT_ONCE and (i := next(waiting, None)) is not None:
            trial = Trial("x", config={"penalty_strength": float(strengths[i])}, stub=True)
            trial.experiment_tag = f"{i}_"
            if journal is not None:
                trial.storage = SimpleNamespace(
                    experiment_fs_path=journal,
                    storage_filesystem=pyarrow.fs.LocalFileSystem(),
                    _timestamp="now",
                )
            scheduler.on_trial_add(None, trial)
            running.append((i, trial, 0))
        if not running:
            return count, spent
        i, trial, rung = running.pop(generator.integers(len(running)))
        flops = 1 / (1 + strengths[i])
        accuracy = (0.9 * flops**0.2) * (1 - 0.5 / (1 + rung)) + noise[i, rung]
        result = {"epoch": 2**rung, "child_accuracy": accuracy, "flops": flops * 1e6}
        start = time.perf_counter()
        answer = scheduler.on_trial_result(None, trial, result)
        spent += time.perf_counter() - start
        count += 1
        if answer == "CONTINUE":
            running.append((i, trial, rung + 1))


def front_seconds(points: int, folder: str) -> tuple[float, float]:
    """Seconds in which a file of so many points takes one more, and in which its front is found."""
    generator = np.random.default_rng(0)
    rows = []
    text = {"string": "x" * 300, "int64": 1, "double": 1.0}
    for i in range(points):
        row = {field.name: text[str(field.type)] for field in SCHEMA}
        flops = int(generator.integers(1_000, 1_000_000))
        row |= {
            "trial": f"trial-{i // 30:06d}",
            "epoch": i % 30,
            "flops": flops,
            "checkpoint": None,
        }
        row["child_accuracy"] = float(generator.beta(4, 2) * flops**0.01)
        rows.append(row)
    file = FrontFile(f"{folder}/front.parquet")
    file.add(rows)
    start = time.perf_counter()
    file.add([{**rows[0], "trial": "the last"}])
    added = time.perf_counter() - start
    start = time.perf_counter()
    ParetoFront(file.table)
    return added, time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--rules", nargs="*", choices=RULES, default=["pareto", "fifo"])
    args = parser.parse_args()
    print("| rule | journal | decisions | ms a decision |\n|:---|:---|---:|---:|")
    for rule in args.rules:
        for kept in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                count, spent = decisions(rule, args.trials, folder if kept else None)
            shown = "on disk" if kept else "none"
            print(f"| {rule} | {shown} | {count} | {1000 * spent / count:.3f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        added, found = front_seconds(args.points, folder)
    print(f"front file of {args.points} points: {added:.2f} s to add one, {found:.2f} s to find it")


if __name__ == "__main__":
    main()
