"""Progress on standard error: a line for each trial that ends, and one every few seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import DONE

from snas_tune.results import ACCURACY, CHILD_ACCURACY, EPOCH, FLOPS, HYPERVOLUME, SECONDS
from snas_tune.sweep.callbacks.trials import SweepTrial, sweep_trial
from snas_tune.sweep.lines import say


class Progress:
    """How far a sweep is. A result costs the same however many trials have ended.

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
        self._ended: set[str] = set()
        """The trials that have ended, by Tune's identifier."""
        self._reached: dict[str, float] = {}
        """The share of its epochs that each other trial has reached."""

    def result(self, trials: Sequence[Trial], trial: Trial, report: Mapping[str, Any]) -> None:
        """Say how far the sweep is, if the trial ended or no line came for a while."""
        now = time.monotonic()
        if self._start is None:  # a resumed sweep has a part behind it
            self._start = now - report[SECONDS]
            self._count(trials)
            self._note(trial, report[EPOCH] - 1)
            self._done_before = self._share_done()
        ends = bool(report.get(DONE))
        self._note(trial, report[EPOCH])
        if ends:
            self.end(trial)
        if not ends and now - self._last < self._every:
            return
        self._last = now
        say(
            f"[{len(self._ended)}/{self._total} trials, {self._times()}] "
            f"{_state(sweep_trial(trial), report)}"
        )

    def _count(self, trials: Sequence[Trial]) -> None:
        """Take over how far the trials of a sweep that goes on have come."""
        for each in trials:
            if each.is_finished():
                self.end(each)
            else:
                self._note(each, (each.last_result or {}).get(EPOCH, 0))

    def _note(self, trial: Trial, epoch: int) -> None:
        """Note how far a trial is that runs, also one that had failed before."""
        self._ended.discard(trial.trial_id)
        self._reached[trial.trial_id] = min(1, epoch / sweep_trial(trial).search.epochs)

    def end(self, trial: Trial) -> None:
        """Note that a trial ended; one that failed or was stopped leaves nothing to wait for."""
        self._ended.add(trial.trial_id)
        self._reached.pop(trial.trial_id, None)

    def _times(self) -> str:
        """The time that passed, and the time that is left as far as that can be told."""
        assert self._start is not None
        elapsed = self._last - self._start
        done = self._share_done()
        if not self._done_before < done < 1:
            return _clock(elapsed)
        rest = elapsed * (1 - done) / (done - self._done_before)
        return f"{_clock(elapsed)}, about {_clock(rest)} left"

    def _share_done(self) -> float:
        """The share of all epochs."""
        return (len(self._ended) + sum(self._reached.values())) / self._total


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
