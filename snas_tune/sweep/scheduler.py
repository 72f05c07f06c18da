"""The Tune scheduler of a sweep: it stops trials by two objectives or more."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from ray.tune.experiment import Trial
from ray.tune.result import DONE
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from snas_tune.arguments import checked
from snas_tune.checks import ABOVE_ONE, COUNT, TEXT, check_value, choice, is_instance
from snas_tune.config import SearchConfig
from snas_tune.files import first_line, write_whole
from snas_tune.front.storage import STORAGE_ERRORS
from snas_tune.objective_checks import check_own, named_objectives
from snas_tune.results import EPOCH, OBJECTIVES
from snas_tune.stopping import Journal, Judge, Rule, make_rule, name_of, rung_levels
from snas_tune.stopping.rules import Fifo
from snas_tune.sweep.decisions import open_journal
from snas_tune.sweep.lines import say
from snas_tune.sweep.reports import Reports, read_number
from snas_tune.sweep.settings import RULES
from snas_tune.values import plain

SHARES = 9
"""The grace period of a sweep is one of so many parts of a trial."""


class ParetoScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray's classes are untyped here
    """Stops trials that have nothing to add to the Pareto front, as ASHA does for one metric.

    It decides at rungs, at ``grace_period`` x ``reduction_factor`` ** k. What was reported there
    and what was decided is written into the experiment's directory before a decision takes effect,
    and read again by ``resume`` and ``Tuner.restore``: Tune itself does not save a scheduler
    (https://github.com/ray-project/ray/issues/30838). It works with any trainable that reports the
    metrics. See :class:`snas_tune.stopping.Judge` for repeated, late, missing and NaN reports.

    ``metric`` and ``mode`` of ``tune.run`` or ``TuneConfig`` may name one of the objectives. A
    resumed sweep must have the same arguments. The object may be used for one sweep after another
    and begins anew in each.

    Args:
        metrics: names of two results or more, as a trial reports them, or a mapping of them to
            their modes; accuracy and FLOPs of the child if not given. The first result of a sweep
            must hold them all. One that a later result lacks, or gives as None, was not measured;
            NaN and infinity say that the trial diverged.
        modes: ``max`` or ``min`` for each of them.
        time_attr: the result that says how far a trial is; it must grow.
        max_t: its value at which trials end, or are stopped.
        grace_period: its value at the first rung; younger trials are not stopped.
        reduction_factor: between the times of two rungs; and the inverse of the share that goes on
            under the rules that keep a share.
        rule: a key of :data:`snas_tune.stopping.RULES`, or a rule of your own that has a name
            (:func:`snas_tune.stopping.name_of`).
        niche: a positive setting of the trials' config along which they are neighbours, such as the
            penalty strength; its logarithm counts. Trials without it have no neighbours.

    Raises:
        ValueError: an argument is wrong.
    """

    def __init__(
        self,
        metrics: Sequence[str] | Mapping[str, str] | None = None,
        modes: Sequence[str] | None = None,
        *,
        time_attr: str = "training_iteration",
        max_t: float = 100,
        grace_period: float = 1,
        reduction_factor: float = 3,
        rule: str | Rule = "pareto",
        niche: str | None = "penalty_strength",
    ) -> None:
        super().__init__()
        given = metrics is not None or modes is not None
        self._objectives = named_objectives(metrics, modes) if given else OBJECTIVES
        time_attr = check_value("time_attr", time_attr, TEXT)
        if niche is not None:
            niche = check_value("niche", niche, TEXT)
        max_t, grace_period, reduction_factor, rule = map(
            plain, (max_t, grace_period, reduction_factor, rule)
        )
        self._time_attr = time_attr
        self._niche = niche
        self._levels = rung_levels(grace_period, reduction_factor, max_t)
        self._rule = make_rule(rule, reduction_factor) if isinstance(rule, str) else rule
        self.settings = {
            "metrics": [name for name, _ in self._objectives],
            "modes": [mode for _, mode in self._objectives],
            "time_attr": time_attr,
            "max_t": max_t,
            "grace_period": grace_period,
            "reduction_factor": reduction_factor,
            "rule": rule if isinstance(rule, str) else name_of(rule),
            "niche": niche,
        }
        """What a resumed sweep must decide by as well."""
        self._experiment: tuple[str, str] | None = None
        self._attached = False
        self._complained = False
        self._begin()

    def _begin(self) -> None:
        """Know nothing of any trial."""
        self.judge = Judge(self._levels, len(self._objectives), self._rule)
        """What decides, and all that it knows."""
        self._reports = Reports(self._objectives, self._time_attr)
        self._journal: Journal | None = None
        self._refusal: str | None = None
        self._heard = False

    def __getstate__(self) -> dict[str, Any]:
        # A restored tuner's scheduler reads the journal, which may know more.
        return {**self.__dict__, "_journal": None, "_attached": False}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Take a metric and mode of Tune's own if they are an objective; a sweep begins here.

        Raises:
            ValueError: they are not.
        """
        check_own(self._objectives, metric, mode)
        self._attached = False
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Take over what the experiment's directory holds of a sweep that goes on.

        Nothing is raised here, where Tune would go on without the trials that it is restoring, and
        write that over its saved state. What is wrong ends the sweep at its next step.
        """
        storage = trial.storage
        if storage is None:
            return
        # Tune gives each experiment a time stamp, which a resumed one keeps.
        experiment = storage.experiment_fs_path, storage._timestamp
        if not self._attached or experiment != self._experiment:
            if self._experiment not in (None, experiment):
                self._begin()
            self._attached, self._experiment = True, experiment
            self._attach(*experiment, storage.storage_filesystem)
        self._check_known(trial)

    def _attach(self, path: str, stamp: str, filesystem: Any) -> None:
        self._journal, self._refusal, self._heard = None, None, False
        try:
            journal = open_journal(path, self.settings, stamp, filesystem)
            if journal.lines:
                self._begin()
                self.judge.replay(journal.lines)
                self._reports.trust()
        except ValueError as error:
            self._begin()
            self._refuse(first_line(error))
            return
        self._journal = journal
        for damage in journal.damage:
            say(f"journal of {path}: {damage}")
        if journal.lines:
            self._stored(journal.repair)

    def _check_known(self, trial: Trial) -> None:
        """Refuse to go on with a trial of which the decisions are lost."""
        if self._journal is None or self._journal.lines or self._heard:
            return
        time = plain(trial.last_result.get(self._time_attr))
        passed = isinstance(time, (int, float)) and time >= self.judge.levels[0]
        if passed and not isinstance(self._rule, Fifo):
            self._refuse(
                f"journal of {self._journal.path} must hold the decisions so far, got none: bring "
                "it back, or start the sweep anew under another name"
            )

    def _refuse(self, message: str) -> None:
        """End the sweep at its next step, and write no journal."""
        if self._refusal is None:
            say(message)
        self._refusal, self._journal = message, None

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The next trial, in the order in which they were added.

        Raises:
            ValueError: the sweep cannot go on.
        """
        if self._refusal is not None:
            raise ValueError(self._refusal)
        return super().choose_trial_to_run(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Decide whether the trial goes on.

        Raises:
            ValueError: no trial reports one of the names so far, or a value is no number.
        """
        self._heard = True
        self._reports.check_names(result)
        time = self._reports.time(trial, result)
        costs = self._reports.costs(trial, result)
        if time is None:
            return str(TrialScheduler.CONTINUE)
        goes_on, line = self.judge.report(trial_key(trial), time, costs, self._niche_of(trial))
        self._note(line)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Note where a trial ended that ended by itself; one that is interrupted has not."""
        if not result.get(DONE):
            return
        try:
            self._reports.check_names(result)
            time, costs = self._reports.time(trial, result), self._reports.costs(trial, result)
        except ValueError as error:  # which Tune would count as a failure of the trial
            self._refuse(first_line(error))
            return
        if time is not None:
            niche = self._niche_of(trial)
            self._note(self.judge.finish(trial_key(trial), costs, niche, time))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing: what a trial reported before it failed was measured all the same."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Nothing, likewise."""

    def debug_string(self) -> str:
        """How many trials reached each rung, and how many were stopped there."""
        history = self.judge.history
        stopped = list(history.stopped.values())
        counts = ", ".join(
            f"{level:g}: {len(rung)} ({stopped.count(i)} stopped)"
            for i, (level, rung) in enumerate(zip(self.judge.levels, history.rungs, strict=True))
        )
        early = len(history.ended)
        ended = f", {early} ended by themselves before" if early else ""
        return f"ParetoScheduler, trials at {self._time_attr} {counts}{ended}"

    def save(self, checkpoint_path: str) -> None:
        """Write all that it knows into a local file.

        Raises:
            ValueError: it cannot be written.
        """
        try:
            write_whole(Path(checkpoint_path), json.dumps(self.judge.lines))
        except OSError as error:
            raise ValueError(f"{checkpoint_path} cannot be written: {first_line(error)}") from error

    def restore(self, checkpoint_path: str) -> None:
        """Read what :meth:`save` wrote, in place of what it knows.

        Raises:
            ValueError: the file cannot be read, or holds something else.
        """
        self._begin()
        self._experiment = None
        try:
            self.judge.replay(json.loads(Path(checkpoint_path).read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            self._begin()
            raise ValueError(
                f"{checkpoint_path} must be what a scheduler saved, got {first_line(error)}"
            ) from error

    def _niche_of(self, trial: Trial) -> float:
        value = trial.config.get(self._niche) if self._niche else None
        try:
            niche = read_number(trial, str(self._niche), value)
        except ValueError:  # a choice of names, which has no neighbours
            return math.nan
        return math.log(niche) if niche is not None and 0 < niche < math.inf else math.nan

    def _note(self, line: Mapping[str, Any] | None) -> None:
        """Write a line of the journal; one that the storage does not take goes with the next."""
        journal = self._journal
        if line is not None and journal is not None:
            self._stored(lambda: journal.add(line))

    def _stored(self, write: Callable[[], None]) -> None:
        try:
            write()
            self._complained = False
        except STORAGE_ERRORS as error:
            if not self._complained:
                say(f"the journal waits for its storage: {first_line(error)}")
            self._complained = True


@checked
def make_scheduler(
    config: Annotated[SearchConfig, is_instance(SearchConfig)],
    *,
    rule: Annotated[str, choice(RULES)] = "pareto",
    grace_period: Annotated[int | None, COUNT] = None,
    reduction_factor: Annotated[float, ABOVE_ONE] = 3,
) -> ParetoScheduler:
    """The scheduler of a sweep of SNAS searches.

    Args:
        config: of one of them.
        rule: as for :class:`ParetoScheduler`.
        grace_period: epochs to the first rung; a ninth of a search, rounded up, if not given.
        reduction_factor: as for :class:`ParetoScheduler`.

    Raises:
        ValueError: an argument is wrong, or the child is not evaluated at every rung.
    """
    grace = -(-config.epochs // SHARES) if grace_period is None else grace_period
    scheduler = ParetoScheduler(
        time_attr=EPOCH,
        max_t=config.epochs,
        grace_period=grace,
        reduction_factor=reduction_factor,
        rule=rule,
    )
    rungs = scheduler.judge.levels[:-1]
    if rule != "fifo" and any(math.ceil(level) % config.child_every for level in rungs):
        raise ValueError(
            f"child_every must divide the epochs of the rungs "
            f"{', '.join(f'{math.ceil(level)}' for level in rungs)}, got {config.child_every}"
        )
    return scheduler


def trial_key(trial: Trial) -> str:
    """A name of a trial that a resumed sweep gives it again: its number, and what it varies.

    Tune's identifiers are drawn at random, also when a trial is proposed again that a killed driver
    had not yet saved. Its tag begins with a count of the experiment's trials. A searcher may
    propose something else the second time, and then it is another trial.
    """
    number, counted, _ = (trial.experiment_tag or "").partition("_")
    if not counted:
        return str(trial.trial_id)
    varied = json.dumps(trial.evaluated_params or {}, sort_keys=True, default=repr)
    return f"{number}-{hashlib.sha256(varied.encode()).hexdigest()[:8]}"
