"""A cluster that runs recorded trials, and the figures of what came of it; see ``replay.py``."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from ray.tune.experiment import Trial

from snas_tune.front import RunningFront, hypervolume, nondominated
from snas_tune.sweep.scheduler import ParetoScheduler

DATA = Path(__file__).resolve().parent / "data"
MODES = ("max", "min")
Points = np.ndarray
"""(n, 2) accuracy and cost."""


@dataclass(frozen=True)
class Trace:
    """What one trial reported."""

    name: str
    config: dict[str, Any]
    points: Points
    """(epochs, 2)."""


@dataclass(frozen=True)
class Recording:
    """A whole sweep."""

    name: str
    traces: list[Trace]
    grace: int
    """The first rung."""

    @property
    def epochs(self) -> int:
        """Of each trial."""
        return len(self.traces[0].points)

    @cached_property
    def every_point(self) -> Points:
        """Of all trials."""
        return np.concatenate([trace.points for trace in self.traces])

    @property
    def reference(self) -> tuple[float, float]:
        """No accuracy, at the cost of the largest."""
        return 0.0, float(self.every_point[:, 1].max())

    @cached_property
    def hypervolume(self) -> float:
        """Of all trials."""
        return hypervolume(self.every_point, MODES, self.reference)


def read_front_file(name: str, grace: int = 3) -> Recording:
    """A recording of ``record_sweep.py``."""
    rows = pq.read_table(DATA / f"{name}.parquet").to_pylist()
    trials: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        trials.setdefault(row["trial"], []).append(row)
    longest = max(map(len, trials.values()))
    traces = []
    for trial, reports in trials.items():
        if len(reports) == longest:  # all of it is there
            reports.sort(key=lambda row: row["epoch"])
            points = np.array([(row["child_accuracy"], row["flops"]) for row in reports])
            config = {key: reports[0][key] for key in ("penalty_strength", "temperature_schedule")}
            traces.append(Trace(trial, config, points.astype(float)))
    return Recording(name, traces, grace)


def read_lcbench() -> list[Recording]:
    """The recording of ``record_lcbench.py``, a sweep for each task."""
    tasks: dict[str, list[Trace]] = {}
    for row in pq.read_table(DATA / "lcbench.parquet").to_pylist():
        accuracy = np.array(row["accuracy"])
        cost = np.full(len(accuracy), np.log10(row["flops"]))
        trace = Trace(f"{row['network']}", {}, np.stack([accuracy, cost], axis=1))
        tasks.setdefault(row["task"], []).append(trace)
    return [Recording(task, traces, 2) for task, traces in tasks.items()]


@dataclass
class Run:
    """How a sweep went."""

    recording: Recording
    seen: list[tuple[int, int]]
    """Trace and epoch of every result, in the order of arrival."""

    stopped: dict[int, int]
    """The last epoch of each stopped trace."""

    def shares(self) -> np.ndarray:
        """(results,) the share of the whole recording's hypervolume after each result."""
        return self._shares

    @cached_property
    def _shares(self) -> np.ndarray:
        recording = self.recording
        front = RunningFront(MODES, recording.reference)
        shares = np.zeros(len(self.seen))
        for i, (trace, epoch) in enumerate(self.seen):
            front.add(recording.traces[trace].points[epoch])
            shares[i] = front.hypervolume / recording.hypervolume
        return shares


def simulate(
    recording: Recording,
    scheduler: ParetoScheduler,
    next_trace: Callable[[str], int | None],
    done: Callable[[str, int, int], None],
    workers: int,
    generator: np.random.Generator,
) -> Run:
    """Run a sweep.

    Args:
        recording: its trials.
        scheduler: decides.
        next_trace: the trace for a trial of that identifier, if there is one.
        done: told of a trial's identifier, its trace and its last epoch.
        workers: trials at a time.
        generator: in which order results arrive that are due at about the same time.
    """
    run = Run(recording, [], {})
    due: list[tuple[float, int, Trial, int, int]] = []
    count = 0

    def start(now: float) -> None:
        nonlocal count
        identifier = f"{count:05d}"
        trace = next_trace(identifier)
        if trace is not None:
            count += 1
            trial = Trial(
                "recorded", config=recording.traces[trace].config, trial_id=identifier, stub=True
            )
            scheduler.on_trial_add(None, trial)
            heapq.heappush(due, (now + generator.uniform(0.9, 1.1), count, trial, trace, 0))

    for _ in range(workers):
        start(0.0)
    while due:
        now, number, trial, trace, epoch = heapq.heappop(due)
        accuracy, cost = recording.traces[trace].points[epoch]
        ended = epoch + 1 == recording.epochs
        result = {"epoch": epoch + 1, "child_accuracy": accuracy, "flops": cost, "done": ended}
        run.seen.append((trace, epoch))
        # As Tune does: a trial that ends by itself is not asked for.
        stopped = not ended and scheduler.on_trial_result(None, trial, result) == "STOP"
        if stopped:
            run.stopped[trace] = epoch
        if stopped or ended:
            scheduler.on_trial_complete(None, trial, {**result, "done": True})
            done(trial.trial_id, trace, epoch)
            start(now)
        else:
            after = now + generator.uniform(0.9, 1.1)
            heapq.heappush(due, (after, number, trial, trace, epoch + 1))
    return run


@dataclass(frozen=True)
class Figures:
    """What is reported of a run; budgets are shares of the epochs of the whole recording."""

    spent: float
    final: float
    """Share of the hypervolume at the end."""

    area: float
    """Mean share of the hypervolume over the budget of the whole recording."""

    to_95: float
    """Budget to 95 % of the hypervolume; 1 at least if that is never reached."""

    to_99: float
    cheap_gap: float
    """Accuracy that is missing at the cost of a true front member in the cheaper third, at most."""

    accurate_gap: float
    """The same in the dearer third."""

    lost: float
    """Share of the true front's members of which the trial was stopped before."""


def figures(run: Run) -> Figures:
    """Measure a run."""
    recording = run.recording
    total = len(recording.traces) * recording.epochs
    shares = run.shares()
    whole = np.concatenate([shares, np.full(max(0, total - len(shares)), shares[-1])])

    def budget(share: float) -> float:
        reached = np.flatnonzero(shares >= share)
        return float((reached[0] + 1) / total) if len(reached) else float("inf")

    every = recording.every_point
    members = np.flatnonzero(nondominated(every, MODES))
    owners, epochs = np.divmod(members, recording.epochs)
    missed = [
        run.stopped.get(int(o), recording.epochs) < e for o, e in zip(owners, epochs, strict=True)
    ]
    seen = np.array([recording.traces[t].points[e] for t, e in run.seen])
    true = np.unique(every[members], axis=0)
    true = true[np.argsort(true[:, 1])]
    gaps = [a - seen[seen[:, 1] <= c, 0].max(initial=0.0) for a, c in true]
    third = max(1, len(true) // 3)
    return Figures(
        len(run.seen) / total,
        float(shares[-1]),
        float(whole.mean()),
        budget(0.95),
        budget(0.99),
        float(max(gaps[:third])),
        float(max(gaps[-third:])),
        float(np.mean(missed)),
    )
