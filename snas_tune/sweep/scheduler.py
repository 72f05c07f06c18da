"""The Tune scheduler of a sweep: it stops trials by two objectives or more."""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import DONE
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from snas_tune.config import SearchConfig
from snas_tune.files import first_line, write_whole
from snas_tune.front.dominance import MODES, signs
from snas_tune.front.storage import STORAGE_ERRORS, join
from snas_tune.results import EPOCH, OBJECTIVES
from snas_tune.stopping import Journal, Judge, Rule, make_rule, rung_levels

METRICS, MODES_OF_METRICS = zip(*OBJECTIVES, strict=True)

SHARES = 9
"""The grace period of a sweep is one of so many parts of a trial."""

JOURNAL = "scheduler"
"""The name of the journal's directory in that of the experiment."""


class ParetoScheduler(FIFOScheduler):  # type: ignore[misc]  # Ray's classes are untyped here
    """Stops trials that have nothing to add to the Pareto front, as ASHA does for one metric.

    It decides at rungs, at ``grace_period`` x ``reduction_factor`` ** k. What was reported there
    and what was decided is written into the experiment's directory before a decision takes effect,
    and read again by ``resume`` and ``Tuner.restore``: Tune itself does not save a scheduler
    (https://github.com/ray-project/ray/issues/30838). It works with any trainable that reports the
    metrics. See :class:`snas_tune.stopping.Judge` for repeated, late, missing and NaN reports.

    Do not pass ``metric`` and ``mode`` to ``tune.run`` or ``TuneConfig`` as well.

    Args:
        metrics: names of two results or more, as a trial reports them.
        modes: ``max`` or ``min`` for each of them.
        time_attr: the result that says how far a trial is; it must grow.
        max_t: its value at which trials end, or are stopped.
        grace_period: its value at the first rung; younger trials are not stopped.
        reduction_factor: between the times of two rungs; and the inverse of the share that goes on
            under the rules that keep a share.
        rule: a key of :data:`snas_tune.stopping.RULES`, or a rule of your own.
        niche: a positive setting of the trials' config along which they are neighbours, such as the
            penalty strength; its logarithm counts. Trials without it have no neighbours.

    Raises:
        ValueError: an argument is wrong.
    """

    def __init__(
        self,
        metrics: Sequence[str] = METRICS,
        modes: Sequence[str] = MODES_OF_METRICS,
        *,
        time_attr: str = "training_iteration",
        max_t: float = 100,
        grace_period: float = 1,
        reduction_factor: float = 3,
        rule: str | Rule = "pareto",
        niche: str | None = "penalty_strength",
    ) -> None:
        super().__init__()
        check_objectives(metrics, modes)
        self._metrics = tuple(metrics)
        self._signs = tuple(signs(modes).tolist())
        self._time_attr = time_attr
        self._niche = niche
        self._settings = {
            "metrics": list(metrics),
            "modes": list(modes),
            "time_attr": time_attr,
            "max_t": max_t,
            "grace_period": grace_period,
            "reduction_factor": reduction_factor,
            "rule": rule if isinstance(rule, str) else _without_address(repr(rule)),
            "niche": niche,
        }
        self._levels = rung_levels(grace_period, reduction_factor, max_t)
        self._rule = make_rule(rule, reduction_factor) if isinstance(rule, str) else rule
        self.judge = self._new_judge()
        """What decides, and all that it knows."""
        self._journal: Journal | None = None
        self._attached = False
        self._complained = False

    def __getstate__(self) -> dict[str, Any]:
        # A restored tuner's scheduler reads the journal, which may know more.
        return {**self.__dict__, "_journal": None, "_attached": False}

    def _new_judge(self) -> Judge:
        return Judge(self._levels, len(self._metrics), self._rule)

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Refuse a metric of Tune's own: the objectives are this scheduler's arguments."""
        return metric is None and mode is None

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Take over what the experiment's directory holds of a sweep that goes on."""
        if self._attached or trial.storage is None:
            return
        self._attached = True
        storage = trial.storage
        # Tune gives each experiment a time stamp, which a resumed one keeps.
        head = {"experiment": storage._timestamp, **self._settings}
        path = join(storage.experiment_fs_path, JOURNAL)
        self._journal = Journal(path, head, storage.storage_filesystem)
        if self._journal.lines:
            self.judge = self._new_judge()
            self.judge.replay(self._journal.lines)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Decide whether the trial goes on."""
        if self._time_attr not in result:
            return str(TrialScheduler.CONTINUE)
        goes_on, line = self.judge.report(
            trial_key(trial), result[self._time_attr], self._costs(result), self._niche_of(trial)
        )
        self._note(line)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Note where a trial ended that ended by itself; one that is interrupted has not."""
        if result.get(DONE):
            self._note(
                self.judge.finish(trial_key(trial), self._costs(result), self._niche_of(trial))
            )

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
        return f"ParetoScheduler, trials at {self._time_attr} {counts}"

    def save(self, checkpoint_path: str) -> None:
        """Write all that it knows into a local file."""
        write_whole(Path(checkpoint_path), json.dumps(self.judge.lines))

    def restore(self, checkpoint_path: str) -> None:
        """Read what :meth:`save` wrote, into a scheduler that knows nothing yet."""
        self.judge.replay(json.loads(Path(checkpoint_path).read_text()))

    def _costs(self, result: Mapping[str, Any]) -> list[float]:
        """Every objective, to be minimised."""
        values = (result.get(name, math.nan) for name in self._metrics)
        return [sign * float(value) for sign, value in zip(self._signs, values, strict=True)]

    def _niche_of(self, trial: Trial) -> float:
        value = trial.config.get(self._niche) if self._niche else None
        known = isinstance(value, (int, float)) and 0 < value < math.inf
        return math.log(float(value or 1)) if known else math.nan

    def _note(self, line: Mapping[str, Any] | None) -> None:
        """Write a line of the journal; one that the storage does not take goes with the next."""
        if line is None or self._journal is None:
            return
        try:
            self._journal.add(line)
            self._complained = False
        except STORAGE_ERRORS as error:
            if not self._complained:
                sys.stderr.write(f"the journal waits for its storage: {first_line(error)}\n")
            self._complained = True


def _without_address(text: str) -> str:
    """The same for the same rule in another process."""
    return re.sub(" at 0x[0-9a-f]+", "", text)


def make_scheduler(
    config: SearchConfig,
    *,
    rule: str = "pareto",
    grace_period: int | None = None,
    reduction_factor: float = 3,
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


def check_objectives(metrics: Sequence[str], modes: Sequence[str]) -> None:
    """Refuse objectives that are not two or more different names with a mode each.

    Raises:
        ValueError: they are not.
    """
    if isinstance(metrics, str) or len(set(metrics)) != len(metrics) or len(metrics) < 2:
        raise ValueError(f"metrics must be two or more different names, got {metrics!r}")
    if isinstance(modes, str) or len(modes) != len(metrics) or not set(modes) <= set(MODES):
        raise ValueError(
            f"modes must be max or min for each of {len(metrics)} metrics, got {modes!r}"
        )
