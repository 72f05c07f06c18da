"""SweepDriver: the callback of Tune that keeps a sweep's front file, event files and progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback

from snas_tune.results import CHILD_ACCURACY, EPOCH, LARGEST_FLOPS
from snas_tune.sweep.callbacks.failures import failure_of, give_up
from snas_tune.sweep.callbacks.front import SweepFront
from snas_tune.sweep.callbacks.progress import Progress
from snas_tune.sweep.callbacks.tensorboard import TensorboardLog
from snas_tune.sweep.callbacks.trials import slim, sweep_trial
from snas_tune.sweep.callbacks.view import Guard
from snas_tune.sweep.lines import say
from snas_tune.sweep.trainable import FAILURE


class SweepDriver(TBXLoggerCallback):  # type: ignore[misc]  # Ray's classes are untyped here
    """Hears of all that happens in a sweep, and hands each part what it needs.

    For each result, in this order: the trial's name and config are looked up; the front takes the
    child and answers with the hypervolume of all children so far, which becomes a part of the
    result, so that Tune's own files have it; TensorBoard and progress are given that result.

    Tune adds no TensorBoard logger of its own beside a ``TBXLoggerCallback``; nothing else of that
    class is used.

    Args:
        trials: searches in all.
        progress: write lines to standard error.
        space: the search space, so that HParams knows what varies.
    """

    def __init__(
        self, trials: int, *, progress: bool = True, space: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.front = SweepFront()
        self._ended: set[str] = set()
        """The trials that have ended, by Tune's identifier."""
        self._counted = 0
        """How many of them had when a trial last ended well."""
        self._log = TensorboardLog(space or {})
        self._progress = Progress(trials)
        self._lines = Guard("lines of progress") if progress else None

    def _show(self, work: Callable[[], None]) -> None:
        if self._lines is not None:
            self._lines.do(work)

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Open the trial's run in TensorBoard."""
        self._log.start(trial, sweep_trial(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Take a report: the child of this epoch, if it was evaluated, and everything measured."""
        if FAILURE in result:
            give_up(trial)
            return
        known = sweep_trial(trial)
        if not math.isnan(result.get(CHILD_ACCURACY, math.nan)):
            result.update(self.front.add(trial, known.row(result), result[LARGEST_FLOPS]))
        self._log.result(trial, known.name, result)
        self._show(partial(self._progress.result, trials, trial, result))

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note where each child's checkpoint lies, as far as it is still kept."""
        name, kept = sweep_trial(trial).name, _kept_checkpoints(trial)
        self.front.name_checkpoints(name, kept)
        self._log.checkpoints(trial, name, kept)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the trial's run and write the front as it now is."""
        self._end(trials, trial)
        slim(trial)
        self._counted = len(self._ended)
        self._log.front(trial, self.front, self._counted)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the trial's run, and say why it failed."""
        self._end(trials, trial)
        self._show(lambda: say(f"trial {sweep_trial(trial).name} failed: {failure_of(trial)}"))

    def _end(self, trials: list[Trial], trial: Trial) -> None:
        if not self._ended:  # a resumed sweep has a part behind it
            self._ended = {each.trial_id for each in trials if each.is_finished()}
        self._ended.add(trial.trial_id)
        name = sweep_trial(trial).name
        self.front.end_trial(trial, name)
        self._log.end(trial, name)
        self._show(lambda: self._progress.end(trial))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Bring the front file up to date, if results came faster than it may be replaced."""
        if trials:
            self.front.settle(trials[0])

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Write what still waits, draw the last front, and close everything."""
        self.front.close(trials)
        self._log.close(trials, self.front, self._counted)


def _kept_checkpoints(trial: Trial) -> dict[int, str]:
    """The checkpoints of a trial that are still kept: paths in the experiment, by epoch."""
    root = f"{trial.storage.experiment_fs_path}/"
    return {
        int(saved.metrics[EPOCH]): saved.checkpoint.path.removeprefix(root)
        for saved in trial.run_metadata.checkpoint_manager.best_checkpoint_results
        if EPOCH in saved.metrics
    }
