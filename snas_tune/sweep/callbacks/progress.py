"""Progress on standard error: a line for each trial that ends, and one every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import DONE

from snas_tune.results import ACCURACY, CHILD_ACCURACY, EPOCH, FLOPS, HYPERVOLUME, SECONDS
from snas_tune.sweep.callbacks.trials import SweepTrial, sweep_trial


def say(line: str) -> None:
    """Write a line to standard error at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Progress:
    """How far a sweep is.

    Args:
        total: how many trials the sweep will run.
        every: seconds between lines about running trials.
    """

    def __init__(self, total: int, every: float = 10.0) -> None:
        self._total = total
        self._every = every
        self._start: float | None = None
        self._done_before = 0.0
        self._last = 0.0

    def result(self, trials: Sequence[Trial], trial: Trial, report: Mapping[str, Any]) -> None:
        """Say how far the sweep is, if the trial ended or no line came for a while."""
        now = time.monotonic()
        if self._start is None:  # a resumed sweep has a part behind it
            self._start = now - report[SECONDS]
            self._done_before = self._share_done(trials, trial, report[EPOCH] - 1)
        ends = bool(report.get(DONE))
        if not ends and now - self._last < self._every:
            return
        self._last = now
        ended = sum(t.is_finished() for t in trials if t is not trial) + ends
        say(
            f"[{ended}/{self._total} trials, {self._times(trials, trial, report)}] "
            f"{_state(sweep_trial(trial), report)}"
        )

    def _times(self, trials: Sequence[Trial], trial: Trial, report: Mapping[str, Any]) -> str:
        """The time that passed, and the time that is left as far as that can be told."""
        assert self._start is not None
        elapsed = self._last - self._start
        reached = sweep_trial(trial).search.epochs if report.get(DONE) else report[EPOCH]
        done = self._share_done(trials, trial, reached)
        if not self._done_before < done < 1:
            return _clock(elapsed)
        rest = elapsed * (1 - done) / (done - self._done_before)
        return f"{_clock(elapsed)}, about {_clock(rest)} left"

    def _share_done(self, trials: Sequence[Trial], trial: Trial, epoch: int) -> float:
        """The share of all epochs, ``epoch`` of them of the trial whose result is only arriving."""
        done = 0.0
        for each in trials:
            if each is not trial and each.is_finished():
                done += 1.0  # a trial that failed or was stopped leaves nothing to wait for
                continue
            reached = epoch if each is trial else (each.last_result or {}).get(EPOCH, 0)
            done += min(1, reached / sweep_trial(each).search.epochs)
        return done / self._total


def _state(trial: SweepTrial, report: Mapping[str, Any]) -> str:
    """Where a trial stands, as its last report says."""
    epoch, horizon = report[EPOCH], trial.search.epochs
    volume = f", hypervolume {report[HYPERVOLUME]:.4f}" if HYPERVOLUME in report else ""
    stopped = ", stopped" if report.get(DONE) and epoch < horizon else ""
    return (
        f"{trial.name} epoch {epoch}/{horizon}: child {100 * report[CHILD_ACCURACY]:.1f} %, "
        f"{report[FLOPS] / 1e6:.3f} MFLOPs, supernet {100 * report[ACCURACY]:.1f} %"
        f"{volume}{stopped}"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
