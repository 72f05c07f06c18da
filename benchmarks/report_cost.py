"""What it costs that searches run as Ray Tune trials: a sweep beside the same searches in a loop.

    python benchmarks/report_cost.py    # the demo's size, 4 trials of 6 epochs, 3 rounds

In every round ``run_sweep`` runs some searches one at a time, in a Ray of its own; then a fresh
process runs exactly their configs in a plain loop, in the same order, with as many threads. Every
epoch of both must give the same genotype, accuracies and cross-entropy, to the bit, which proves
that both did the same work.

Both are cut at the same places. *Start-up* is all before the first epoch: Ray, or the process, the
checks, and the first search's images and network. *Steady* is from the first report to the last, so
it holds every epoch but one. In a sweep the time of a report is when TensorBoard's event was
written; a checkpoint, the row of the front file, and the pictures after each trial are in it.
*End* is all after the last report, until the call returns or the process is gone. The overhead is
the sweep's steady time minus the loop's, by epoch. Part of it lies outside of the epochs' own
seconds; the rest says that the epochs themselves ran slower, beside Ray or by chance.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from other_costs import DEMO, add_common, say, write_record
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from snas_tune.config import SearchConfig
from snas_tune.front import ParetoFront
from snas_tune.search.search import Search
from snas_tune.sweep import SweepSettings, run_sweep, sweep_space

SAME = ("architecture", "child_accuracy", "accuracy", "cross_entropy", "expected_flops")
"""What an epoch must report alike in both."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One report: of which search, when it came (seconds since 1970), and what it says."""

    trial: int
    at: float
    seconds: float
    """What the search says that the epoch took."""

    facts: tuple[Any, ...]
    """The values of :data:`SAME`."""


@dataclass(frozen=True, slots=True)
class Run:
    """All searches, one after another."""

    start: float
    end: float
    epochs: list[Epoch]

    def parts(self) -> dict[str, float]:
        """Seconds of each part of the wall time."""
        first, *later = self.epochs
        between: dict[bool, list[float]] = {True: [], False: []}
        for before, epoch in zip(self.epochs, later, strict=False):
            between[before.trial == epoch.trial].append(epoch.at - epoch.seconds - before.at)
        return {
            "start-up": first.at - first.seconds - self.start,
            "steady": later[-1].at - first.at,
            "in epochs": sum(epoch.seconds for epoch in later),
            "between epochs": statistics.median(between[True] or [0.0]),
            "between trials": statistics.median(between[False] or [0.0]),
            "end": self.end - later[-1].at,
        }


def sweep(space: dict[str, Any], args: argparse.Namespace) -> tuple[Run, list[dict[str, Any]]]:
    """The searches as a sweep, and their configs in the order in which they ran."""
    with tempfile.TemporaryDirectory() as storage:
        start = time.time()
        result = run_sweep(
            space,
            SweepSettings(
                name="sweep",
                storage_path=storage,
                trials=args.trials,
                searcher="tpe",
                rule="fifo",
                concurrent=1,
                cpus_per_trial=args.threads,
                gpus_per_trial=1 if torch.cuda.is_available() and args.device != "cpu" else 0,
                seed=args.seed,
            ),
        )
        end = time.time()
        if result.exit_status:
            raise RuntimeError("; ".join(result.problems))
        ray.shutdown()
        found = _reports(Path(result.path, "tensorboard"), result.front)
    order = list(dict.fromkeys(row["trial"] for _, _, row in found))
    configs = {row["trial"]: json.loads(row["config"]) for _, _, row in found}
    epochs = [
        Epoch(order.index(row["trial"]), at, took, tuple(row[name] for name in SAME))
        for at, took, row in found
    ]
    return Run(start, end, epochs), [configs[name] for name in order]


def _reports(log: Path, front: ParetoFront) -> list[tuple[float, float, dict[str, Any]]]:
    """Of every report in turn: when it came, its ``seconds``, and its row of the front file."""
    events = {}
    for trial in {row["trial"] for row in front.rows}:
        for event in EventAccumulator(str(log / trial)).Reload().Scalars("seconds"):
            events[trial, event.step] = event.wall_time, event.value
    return sorted(
        ((*events[row["trial"], row["epoch"]], row) for row in front.rows), key=lambda r: r[0]
    )


def loop(configs: list[dict[str, Any]], threads: int) -> list[Epoch]:
    """The searches in a plain loop, in this process."""
    torch.set_num_threads(threads)
    epochs = []
    for trial, values in enumerate(configs):
        search = Search(SearchConfig.from_dict(values))
        while not search.finished:
            report = search.run_epoch()
            facts = tuple(report[name] for name in SAME)
            epochs.append(Epoch(trial, time.time(), report["seconds"], facts))
        say(f"{trial + 1} of {len(configs)} searches of the loop")
    return epochs


def loop_in_fresh_process(configs: list[dict[str, Any]], threads: int) -> Run:
    """:func:`loop` as a program of its own."""
    start = time.time()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        epochs = pool.submit(loop, configs, threads).result()
    return Run(start, time.time(), epochs)


def check_same_work(swept: Run, looped: Run) -> None:
    """Raise ``RuntimeError`` unless every epoch reported the same in both."""
    for number, (one, other) in enumerate(zip(swept.epochs, looped.epochs, strict=True)):
        if one.facts != other.facts:
            raise RuntimeError(
                f"epoch {number} must be the same in sweep and loop, got {one.facts} "
                f"and {other.facts}"
            )


def compare(swept: Run, looped: Run) -> dict[str, Any]:
    """The parts of both, and the overhead of an epoch in seconds and as a share of the loop's."""
    parts = {"sweep": swept.parts(), "loop": looped.parts()}
    count = len(swept.epochs) - 1  # of the steady part
    gaps = {name: part["steady"] - part["in epochs"] for name, part in parts.items()}
    overhead = (parts["sweep"]["steady"] - parts["loop"]["steady"]) / count
    return {
        **parts,
        "overhead": overhead,
        "overhead_share": overhead / (parts["loop"]["steady"] / count),
        "overhead_outside_epochs": (gaps["sweep"] - gaps["loop"]) / count,
    }


def show(rounds: list[dict[str, Any]]) -> None:
    """Print the medians over the rounds as a table, and the overhead with its range."""
    print(
        "| | start-up s | steady s | of it in epochs s | between epochs ms | between trials ms "
        "| end s |\n|:---|---:|---:|---:|---:|---:|---:|"
    )
    for name in ("sweep", "loop"):
        m = {part: statistics.median(r[name][part] for r in rounds) for part in rounds[0][name]}
        print(
            f"| {name} | {m['start-up']:.1f} | {m['steady']:.1f} | {m['in epochs']:.1f} "
            f"| {1000 * m['between epochs']:.0f} | {1000 * m['between trials']:.0f} "
            f"| {m['end']:.1f} |"
        )
    print()
    for what, name, factor, unit in (
        ("overhead", "overhead", 1000, "ms an epoch"),
        ("as a share of the loop", "overhead_share", 100, "%"),
        ("outside of the epochs' own seconds", "overhead_outside_epochs", 1000, "ms an epoch"),
    ):
        values = [factor * each[name] for each in rounds]
        print(
            f"{what}: {statistics.median(values):.1f} {unit} "
            f"({min(values):.1f} to {max(values):.1f})"
        )


def main() -> None:
    """Run sweep and loop in turn, print what they took, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--cells", type=int, default=DEMO["cells"])
    parser.add_argument("--channels", type=int, default=DEMO["channels"])
    parser.add_argument("--nodes", type=int, default=DEMO["nodes"])
    parser.add_argument("--limit-images", type=int)
    parser.add_argument("--seed", type=int, default=0)
    add_common(parser, 3, 1)
    args = parser.parse_args()
    if args.rounds < 1 or args.trials * args.epochs < 2:
        parser.error("there must be a round and two epochs in all, or more")
    names = ("data", "cells", "channels", "nodes", "epochs", "limit_images", "seed", "device")
    settings = {**DEMO, **{name: getattr(args, name) for name in names}}
    space = sweep_space(schedules=("linear",), **settings)
    rounds = []
    for number in range(args.rounds):
        say(f"round {number + 1} of {args.rounds}: the sweep")
        swept, configs = sweep(space, args)
        say(f"round {number + 1} of {args.rounds}: the loop")
        looped = loop_in_fresh_process(configs, args.threads)
        check_same_work(swept, looped)
        rounds.append(compare(swept, looped))
    say(f"all {len(swept.epochs)} epochs are the same in sweep and loop, to the bit")
    show(rounds)
    write_record(args, {"trials": args.trials, "settings": settings, "by_round": rounds})


if __name__ == "__main__":
    main()
