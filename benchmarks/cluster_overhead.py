"""What the driver of a sweep costs by trial and by result: tiny searches over three machines.

    python benchmarks/cluster_overhead.py    # 200 trials

Three raylets run on this machine (``ray.cluster_utils.Cluster``) as if each were a machine with a
CPU for trials, and the sweep is one as on any cluster: checks, front file, TensorBoard,
checkpoints, scheduler, journal. Its searches are so small that the driver is what is measured.

The driver's cost is the CPU time of its process, so it does not matter what else the cores do.
Three sweeps tell three parts apart: what a sweep costs at all, a trial, and a result. Of 20 trials
and of 200 with one epoch each, and of 200 with more. The wall time per result is that of this
machine, whose cores the trials share, and says nothing of another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from snas_tune.sweep import SweepSettings, quiet_ray, run_sweep, sweep_space

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

MACHINES = 3
FEW = 20


def measure(name: str, trials: int, epochs: int, address: str, storage: str) -> dict[str, Any]:
    """Run a sweep; the seconds that it took, and the CPU seconds of this process."""
    space = sweep_space(schedules=("linear",), epochs=epochs, **TINY)
    wall, cpu = time.perf_counter(), time.process_time()
    result = run_sweep(
        space,
        SweepSettings(
            name=name,
            storage_path=storage,
            trials=trials,
            searcher="random",
            rule="fifo",
            address=address,
            machines=MACHINES,
            progress=False,
        ),
    )
    taken = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    if result.exit_status or len(result.front) != trials * epochs:
        raise RuntimeError(f"{len(result.front)} children; {'; '.join(result.problems)}")
    print(f"{name}: {trials} trials of {epochs}: {taken}", file=sys.stderr, flush=True)
    return {"trials": trials, "epochs": epochs, **taken}


def parts(few: dict[str, Any], once: dict[str, Any], more: dict[str, Any]) -> dict[str, float]:
    """CPU seconds of the driver: of a sweep at all, a trial, a result."""
    results = {key: run["trials"] * run["epochs"] for key, run in (("once", once), ("more", more))}
    by_result = (more["cpu"] - once["cpu"]) / (results["more"] - results["once"])
    by_trial = (once["cpu"] - few["cpu"]) / (once["trials"] - few["trials"]) - by_result
    fixed = few["cpu"] - few["trials"] * (by_trial + by_result)
    return {"sweep": fixed, "trial": by_trial, "result": by_result}


def main() -> None:
    """Start the raylets, run the sweeps, print the parts, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=4, help="of the longest of the sweeps")
    parser.add_argument("--out", type=Path, help="write the record there, as JSON")
    args = parser.parse_args()
    if args.trials <= FEW or args.epochs < 2:
        parser.error(f"there must be more than {FEW} trials and two epochs or more")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(MACHINES - 1):
        cluster.add_node(num_cpus=1)
    try:
        quiet_ray(address=cluster.address)
        with tempfile.TemporaryDirectory() as storage:
            runs = [
                measure(f"run-{number}", trials, epochs, cluster.address, storage)
                for number, (trials, epochs) in enumerate(
                    ((FEW, 1), (args.trials, 1), (args.trials, args.epochs))
                )
            ]
    finally:
        ray.shutdown()
        cluster.shutdown()
    found = parts(*runs)
    print(
        f"CPU time of the driver: {found['sweep']:.1f} s a sweep, {1000 * found['trial']:.0f} ms "
        f"a trial, {1000 * found['result']:.0f} ms a result"
    )
    longest = runs[-1]
    results = longest["trials"] * longest["epochs"]
    print(
        f"{results} results of {longest['trials']} trials in {longest['wall']:.0f} s: "
        f"{1000 * longest['wall'] / results:.0f} ms a result; the driver computed in "
        f"{100 * longest['cpu'] / longest['wall']:.0f} % of it"
    )
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Ray {ray.__version__}"
        record = {"machine": machine, "machines": MACHINES, "runs": runs, "parts": found}
        args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
