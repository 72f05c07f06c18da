"""What a sweep's driver takes for each result, by hundreds of trials that have ended.

    python benchmarks/many_trials.py --trials 500 --epochs 3
    python benchmarks/many_trials.py --checkout /tmp/before       # of another commit, as cd67db4

The sweep runs as users run it, with the front file, TensorBoard and the lines of progress, two tiny
searches at a time, in a fresh process with a fresh Ray on this machine. At each hundredth of the
trials that ends, the driver notes its resident memory, open files and threads, its CPU time and the
wall time, and the seconds that it spent in each of its own parts. A figure of a row is that of the
trials since the row before, so a driver whose work does not grow has equal rows.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()

PARTS = {
    "pictures": "snas_tune.tensorboard_log.sweep_log:SweepLog.draw_front",
    "events": "snas_tune.tensorboard_log.sweep_log:SweepLog.add_result",
    "front file": "snas_tune.sweep.callbacks.front:SweepFront.add",
    "Tune's state": "ray.tune.execution.tune_controller:TuneController.save_to_dir",
    "proposals": "ray.tune.search.search_generator:SearchGenerator.create_trial_if_possible",
    "decisions": "snas_tune.sweep.scheduler:ParetoScheduler.on_trial_result",
    "callback": "snas_tune.sweep.callbacks.driver:SweepDriver.on_trial_result",
    "trial's end": "snas_tune.sweep.callbacks.driver:SweepDriver.on_trial_complete",
}
"""What is timed, with all that it calls."""

EARLIER = {
    "snas_tune.tensorboard_log.sweep_log": "snas_tune.report.tensorboard",
    "snas_tune.sweep.callbacks.driver": "snas_tune.sweep.callbacks",
}
"""Where cd67db4 has some of them; one that is not there at all is not timed."""

seconds: Counter[str] = Counter()


def time_part(name: str, place: str) -> None:
    """Add the seconds of every call of a method to :data:`seconds`."""
    module, _, path = place.partition(":")
    owner, method = path.split(".")
    for candidate in (module, EARLIER.get(module, module)):
        try:
            found = getattr(import_module(candidate), owner)
            setattr(found, method, _timed(name, getattr(found, method)))
            return
        except (ImportError, AttributeError):
            continue


def _timed(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(whole)
    def timed(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return whole(*args, **options)
        finally:
            seconds[name] += time.perf_counter() - start

    return timed


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def take_notes(trials: int) -> list[dict[str, Any]]:
    """A list that gets a note at each hundredth of the trials that ends, and one at the start."""
    from ray.tune.execution.tune_controller import TuneController

    notes: list[dict[str, Any]] = []
    results = Counter[str]()
    result, step = TuneController._process_trial_result, TuneController.step

    def counted(controller: Any, *args: Any) -> Any:
        results["all"] += 1
        return result(controller, *args)

    def noted(controller: Any) -> None:
        ended = len(controller._stopped_trials)
        if ended >= len(notes) * max(1, trials // 100):
            notes.append(
                {
                    "ended": ended,
                    "results": results["all"],
                    "cpu": time.process_time(),
                    "wall": time.perf_counter(),
                    "MiB": resident(),
                    "files": len(list(Path("/proc/self/fd").iterdir())),
                    "threads": len(list(Path("/proc/self/task").iterdir())),
                    "parts": dict(seconds),
                }
            )
        step(controller)

    TuneController._process_trial_result, TuneController.step = counted, noted
    return notes


def sweep(trials: int, epochs: int) -> list[dict[str, Any]]:
    """Run a sweep of the imported checkout."""
    import driver_cpu

    for name, place in PARTS.items():
        time_part(name, place)
    notes = take_notes(trials)
    with tempfile.TemporaryDirectory() as storage:
        driver_cpu.run(trials, epochs, storage)
        states = Path(storage, "sweep").glob("experiment_state-*.json")
        notes[-1]["state MiB"] = max(state.stat().st_size for state in states) / 2**20
    return notes


def table(notes: list[dict[str, Any]], rows: int) -> str:
    """The notes as a table of so many rows."""
    names = list(PARTS)
    heads = ["ended", "results", "MiB", "files", "threads", "CPU ms", "wall ms", *names]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---:|" * len(heads)]
    places = [round(i * (len(notes) - 1) / rows) for i in range(rows + 1)]
    for first, last in pairwise(places):
        before, after = notes[first], notes[last]
        count = max(1, after["results"] - before["results"])
        each = [1000 * (after[key] - before[key]) / count for key in ("cpu", "wall")]
        each += [
            1000 * (after["parts"].get(name, 0) - before["parts"].get(name, 0)) / count
            for name in names
        ]
        cells = [str(after[key]) for key in ("ended", "results")]
        cells += [f"{after['MiB']:.0f}", str(after["files"]), str(after["threads"])]
        lines.append("| " + " | ".join([*cells, *(f"{value:.2f}" for value in each)]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the sweep in a fresh process and print what its driver took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkout", type=Path, default=HERE.parent.parent)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=5)
    args = parser.parse_args()
    code = (
        "import json, many_trials; "
        f"print(json.dumps(many_trials.sweep({args.trials}, {args.epochs})))"
    )
    path = os.pathsep.join((str(args.checkout.resolve()), str(HERE.parent)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    notes = json.loads(done.stdout.splitlines()[-1])
    print("Milliseconds are of one result, in all and in each part.\n")
    print(table(notes, args.rows))
    took = {name: notes[-1]["parts"].get(name, 0.0) for name in PARTS}
    wall = notes[-1]["wall"] - notes[0]["wall"]
    print(f"\nwall {wall:.0f} s, of it " + ", ".join(f"{n} {s:.1f} s" for n, s in took.items()))
    print(f"Tune's state at the end: {notes[-1]['state MiB']:.1f} MiB")


if __name__ == "__main__":
    main()
