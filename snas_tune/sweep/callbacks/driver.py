"""SweepDriver: the callback of Tune that keeps a sweep's front file, event files and progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback

from snas_tune.arguments import checked
from snas_tune.checks import COUNT, FLAG, at_most
from snas_tune.results import CHILD_ACCURACY, LARGEST_FLOPS
from snas_tune.setting_checks import SETTINGS
from snas_tune.sweep.callbacks.checkpoints import KeptCheckpoints, kept_checkpoints
from snas_tune.sweep.callbacks.failures import failure_of, give_up
from snas_tune.sweep.callbacks.front import SweepFront
from snas_tune.sweep.callbacks.progress import Progress
from snas_tune.sweep.callbacks.tensorboard import TensorboardLog
from snas_tune.sweep.callbacks.trials import slim, sweep_trial
from snas_tune.sweep.callbacks.view import Guard
from snas_tune.sweep.claim import Claim, claim
from snas_tune.sweep.lines import say
from snas_tune.sweep.settings import MOST_TRIALS
from snas_tune.sweep.trainable import FAILURE

Begin = Callable[[list[Trial]], None]


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
        self.kept: KeptCheckpoints | None = None
        """Deletes checkpoints; without it all that Tune keeps are kept."""
        self._owner = OneOwner()
        self._begin: Begin | None = None
        self._begun = False
        self._saved = False
        """Whether nothing has happened since Tune last saved the state of all trials."""
        self._trials: list[Trial] = []
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

    def __getstate__(self) -> dict[str, Any]:
        """Of a new one: ``tune.Tuner`` keeps it for a sweep that is restored."""
        kept = KeptCheckpoints(self.front, self._tell_checkpoints) if self.kept else None
        fresh: dict[str, Any] = {"kept": kept, "_owner": OneOwner(), "_begun": False, "_trials": []}
        return {**vars(self), **fresh, "_begin": None, "_saved": False}

    def run_for(self, held: Claim, *, keep_front: bool, begin: Begin | None = None) -> None:
        """Say how the sweep runs.

        Args:
            held: the claim of the experiment's directory; it is released at the end.
            keep_front: delete the checkpoints that neither the front nor a resume needs.
            begin: called with the trials that an earlier run of the sweep left, before they go on.
        """
        self._owner.held, self._begin = held, begin
        self.kept = KeptCheckpoints(self.front, self._tell_checkpoints) if keep_front else None

    def get_state(self) -> None:
        """Nothing. Tune asks for it whenever it saves the state of all trials."""
        self._saved = True
        if self.kept is not None and self._begun:
            self.kept.state_saved(self._trials)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Take the sweep over before anything of it is written.

        Raises:
            ValueError: another process runs it.
        """
        self._saved = False
        self._take_over(trials)

    def _take_over(self, trials: list[Trial]) -> None:
        """The first time that there are trials: those of an earlier run, if there are any."""
        self._trials = trials
        if not trials:
            return
        self._owner.check(trials[0].storage)
        if self._begun:
            return
        self._begun = True
        if self._begin is not None:
            self._begin(trials)
        if self.kept is not None:
            self.kept.begin(trials)

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
            row = known.row(result)
            result.update(self.front.add(trial, row, result[LARGEST_FLOPS]))
            if self.kept is not None:
                self.kept.add(trial, row)
        self._log.result(trial, known.name, result)
        self._show(partial(self._progress.result, trials, trial, result))

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note where each child's checkpoint lies, as far as it is still kept."""
        if self.kept is not None:
            self.kept.saved(trial)
        self.front.name_checkpoints(sweep_trial(trial).name, kept_checkpoints(trial))
        self._tell_checkpoints(trial)

    def _tell_checkpoints(self, trial: Trial) -> None:
        """Write into the trial's run which of its checkpoints are kept."""
        name = sweep_trial(trial).name
        self._log.checkpoints(trial, name, kept_checkpoints(trial))
        if trial.trial_id in self._ended:
            self._log.end(trial, name)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the trial's run and write the front as it now is."""
        if self._owner.refused:
            return
        self._end(trials, trial)
        if self.kept is not None:
            self.kept.end_trial(trial)
        slim(trial)
        self._counted = len(self._ended)
        self._log.front(trial, self.front, self._counted)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the trial's run, and say why it failed."""
        if self._owner.refused:
            return
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
        """Write what still waits, draw the last front, and give the sweep up."""
        if self._owner.refused:
            return
        saved = self._saved
        self._take_over(trials)
        if self.kept is not None:
            self.kept.close(saved=saved)
        self.front.close(trials)
        if self.kept is not None:
            self.kept.delete()
        self._log.close(trials, self.front, self._counted)
        self._owner.release()


class OneOwner:
    """The claim of a sweep's directory, made when the sweep is first seen."""

    def __init__(self) -> None:
        self.held: Claim | None = None
        self.refused = False
        """Whether another process has the directory: then nothing is written there any more."""

    def check(self, storage: Any) -> None:
        """Claim the directory of Tune's storage, or see that it is still this process's.

        Raises:
            ValueError: another process has it.
        """
        self.refused = True
        if self.held is None:
            self.held = claim(storage.experiment_fs_path, storage.storage_filesystem)
        self.held.check()
        self.refused = False

    def release(self) -> None:
        """Give the directory up."""
        if self.held is not None:
            self.held.release()
            self.held = None
