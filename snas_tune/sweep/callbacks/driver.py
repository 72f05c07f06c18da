"""SweepDriver: the callback of Tune that keeps a sweep's front file, event files and progress."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback

from snas_tune.arguments import checked
from snas_tune.checks import COUNT, FLAG, at_most
from snas_tune.results import CHILD_ACCURACY, EPOCH, LARGEST_FLOPS
from snas_tune.setting_checks import SETTINGS
from snas_tune.sweep.callbacks.failures import failure_of, give_up
from snas_tune.sweep.callbacks.front import SweepFront
from snas_tune.sweep.callbacks.progress import Progress, say
from snas_tune.sweep.callbacks.tensorboard import TensorboardLog
from snas_tune.sweep.callbacks.trials import sweep_trial
from snas_tune.sweep.settings import MOST_TRIALS
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

    @checked
    def __init__(
        self,
        trials: Annotated[int, COUNT, at_most(MOST_TRIALS)],
        *,
        progress: Annotated[bool, FLAG] = True,
        space: Annotated[Mapping[str, Any] | None, SETTINGS] = None,
    ) -> None:
        super().__init__()
        self.front = SweepFront()
        self._ended = 0
        """Trials that had ended when the last one did."""
        self._log = TensorboardLog(space or {})
        self._progress = Progress(trials) if progress else None

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
        self._log.of(trial).add_result(known.name, result)
        if self._progress is not None:
            self._progress.result(trials, trial, result)

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note where each child's checkpoint lies, as far as it is still kept."""
        name, kept = sweep_trial(trial).name, _kept_checkpoints(trial)
        self.front.name_checkpoints(name, kept)
        self._log.of(trial).add_checkpoints(name, kept)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the trial's run and write the front as it now is."""
        name = sweep_trial(trial).name
        self.front.end_trial(trial, name)
        self._log.of(trial).end_trial(name)
        self._ended = sum(each is trial or each.is_finished() for each in trials)
        self._log.front(trial, self.front, self._ended)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the trial's run, and say why it failed."""
        name = sweep_trial(trial).name
        self.front.end_trial(trial, name)
        self._log.of(trial).end_trial(name)
        if self._progress is not None:
            say(f"trial {name} failed: {failure_of(trial)}")

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Write what still waits, draw the last front, and close everything."""
        self.front.close(trials)
        self._log.close(trials, self.front, self._ended)


def _kept_checkpoints(trial: Trial) -> dict[int, str]:
    """The checkpoints of a trial that are still kept: paths in the experiment, by epoch."""
    root = f"{trial.storage.experiment_fs_path}/"
    return {
        int(saved.metrics[EPOCH]): saved.checkpoint.path.removeprefix(root)
        for saved in trial.run_metadata.checkpoint_manager.best_checkpoint_results
        if EPOCH in saved.metrics
    }
