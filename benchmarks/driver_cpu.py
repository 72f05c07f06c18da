"""CPU time of a sweep's driver for each result, this checkout beside another one.

    git worktree add /tmp/before cd67db4
    python benchmarks/driver_cpu.py --before /tmp/before    # 200 trials of 8 epochs

Both checkouts run the same sweep in turn, each time in a fresh process with a fresh Ray on this
machine: 200 tiny searches, two at a time, with the front file, TensorBoard and the lines of
progress, as a sweep has them by default. The rule is ``fifo``, so that both report 200 x epochs
results. The CPU time is that of all threads of the driver's process while ``run_sweep`` runs; the
trials are processes of their own and do not count, and neither does what else the cores do.

A sweep with fewer epochs splits the cost into a part by trial and a part by result.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()

TINY = {
    "cells": 3,
    "channels": 4,
    "nodes": 1,
    "batch_size": 16,
    "limit_images": 60,
    "recalibration_batches": 1,
    "supernet": "plain",
    "sampling": "gdas",
}
"""A search whose epoch is a fraction of a second."""


def run(trials: int, epochs: int, storage: str) -> tuple[Any, dict[str, float]]:
    """Run a sweep of the imported checkout; its result, its seconds and this process's CPU ones."""
    import snas_tune.sweep as room

    room.quiet_ray(cpus=2)
    make_space = getattr(room, "sweep_space", None) or room.search_space  # cd67db4's name
    space = make_space(epochs=epochs, **TINY)
    asked: dict[str, Any] = {"name": "sweep", "storage_path": storage, "rule": "fifo"}
    asked |= {"trials": trials, "concurrent": 2}
    settings = getattr(room, "SweepSettings", None)  # cd67db4 takes each by its name
    start, cpu = time.perf_counter(), time.process_time()
    if settings is None:
        result = room.run_sweep(space, **asked)
    else:
        result = room.run_sweep(space, settings(**asked))
    return result, {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def sweep(trials: int, epochs: int) -> dict[str, float]:
    """The seconds of a sweep of the imported checkout, and the CPU seconds of this process."""
    with tempfile.TemporaryDirectory() as storage:
        result, taken = run(trials, epochs, storage)
    if result.exit_status or len(result.front) != trials * epochs:
        raise RuntimeError(f"{len(result.front)} children; {'; '.join(result.problems)}")
    return taken


def sweep_of(checkout: Path, trials: int, epochs: int) -> dict[str, float]:
    """:func:`sweep` in a fresh process that imports a checkout."""
    code = f"import json, driver_cpu; print(json.dumps(driver_cpu.sweep({trials}, {epochs})))"
    path = os.pathsep.join((str(checkout), str(HERE.parent)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the lines of progress
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    taken: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{checkout}: {trials} trials of {epochs}: {taken}", file=sys.stderr, flush=True)
    return taken


def parts(runs: dict[int, list[float]], trials: int) -> dict[str, float]:
    """CPU milliseconds: all by result; and, with two lengths of a sweep, by trial and by result.

    Args:
        runs: CPU seconds of the sweeps by their epochs.
        trials: of each sweep.
    """
    median = {epochs: statistics.median(seconds) for epochs, seconds in runs.items()}
    few, many = min(median), max(median)
    found = {"ms for each result": 1000 * median[many] / (trials * many)}
    if few < many:
        slope = (median[many] - median[few]) / (trials * (many - few))
        found["of it by result"] = 1000 * slope
        found["by trial"] = 1000 * (median[many] / trials - many * slope)
    return found


def main() -> None:
    """Run the sweeps in turn, and print the costs and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="the other checkout", required=True)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 8], help="of a search")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    checkouts = {"before": args.before.resolve(), "now": HERE.parent.parent}
    runs: dict[str, dict[int, list[float]]] = {
        name: {epochs: [] for epochs in args.epochs} for name in checkouts
    }
    for _ in range(args.rounds):
        for epochs in args.epochs:
            for name, checkout in checkouts.items():
                runs[name][epochs].append(sweep_of(checkout, args.trials, epochs)["cpu"])
    costs = {name: parts(runs[name], args.trials) for name in checkouts}
    print("| CPU of the driver | before, ms | now, ms | now / before |\n|:---|---:|---:|---:|")
    for part, before in costs["before"].items():
        now = costs["now"][part]
        print(f"| {part} | {before:.1f} | {now:.1f} | {now / before:.2f} |")


if __name__ == "__main__":
    main()
