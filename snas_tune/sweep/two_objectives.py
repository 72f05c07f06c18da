"""What the searchers share: Optuna with two objectives, first points, and how a sweep goes on."""

from __future__ import annotations

import importlib.util
import math
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.result import TRIAL_ID
from ray.tune.search.optuna import OptunaSearch

from snas_tune.checks import COUNT, POSITIVE, SEED, Check, at_most, check_value, choice, holds
from snas_tune.files import first_line
from snas_tune.objective_checks import ROWS, check_objectives, check_own
from snas_tune.sweep.lines import say
from snas_tune.sweep.reports import read_number
from snas_tune.sweep.sampler import SAMPLERS
from snas_tune.sweep.settings import MOST_TRIALS, SEARCHERS
from snas_tune.values import plain

WHOLE = Check(
    lambda value: (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and isinstance(value[0], str)
        and holds(POSITIVE.test, plain(value[1]))
    ),
    "the name of a result and its positive value at the end",
)


def check_searcher(searcher: str, concurrent: int | None) -> None:
    """Refuse what :func:`make_searcher` cannot make.

    Raises:
        ValueError: the searcher is unknown or lacks a package, or ``concurrent`` is given and not a
            positive integer.
    """
    check_value("searcher", searcher, choice(SEARCHERS))
    if searcher == "gp" and importlib.util.find_spec("scipy") is None:
        raise ValueError("searcher gp needs scipy (pip install scipy), got none")
    if concurrent is not None:
        check_value("concurrent", concurrent, COUNT, at_most(MOST_TRIALS))


class _Moved(pickle.Unpickler):
    """Finds the classes that 0.1 pickled in its room ``schedule``."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module.replace("snas_tune.schedule", "snas_tune.stopping"), name)


class TwoObjectives(OptunaSearch):  # type: ignore[misc]  # Ray's classes are untyped here
    """What both searchers have in common: objectives, first points, and trials without a value.

    Trials whose last result is NaN, or that failed, are told as failed instead of being lost in a
    warning.
    """

    def __init__(
        self,
        sampler: str,
        concurrent: int,
        seed: int,
        points: Sequence[Mapping[str, Any]],
        objectives: Sequence[tuple[str, str]],
    ) -> None:
        sampler = check_value("sampler", sampler, choice(SAMPLERS))
        concurrent = check_value("concurrent", concurrent, COUNT)
        check_searcher(sampler, concurrent)
        seed = check_value("seed", seed, SEED)
        check_value("points", points, ROWS)
        self._objectives = check_objectives(objectives)
        super().__init__(
            metric=[name for name, _ in self._objectives],
            mode=[mode for _, mode in self._objectives],
            sampler=SAMPLERS[sampler](seed),
            points_to_evaluate=[dict(point) for point in points] or None,
        )
        self._concurrent = concurrent
        self._points_to_evaluate: list[dict[str, Any]]
        self._refusal: str | None = None

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Take the search space; a metric and mode of Tune's own must be one of the objectives.

        Raises:
            ValueError: they are not; or the searcher has a space, of another sweep.
        """
        check_own(self._objectives, metric, mode)
        if self._space:
            raise ValueError("searcher must be a new one for each sweep, got one that has a space")
        taken: bool = super().set_search_properties(None, None, config, **spec)
        return taken

    def _ask(self, trial_id: str) -> dict[str, Any]:
        if self._refusal is not None:
            raise ValueError(self._refusal)
        if not self._space:
            return {}  # nothing varies, which Tune's own searcher refuses
        config: dict[str, Any] = super().suggest(trial_id)
        return config

    def restore(self, checkpoint_path: str) -> None:
        """Read what ``save`` wrote, also of 0.1, whose classes were in another room.

        What is asked for now counts: how many trials run at once, and first points behind those
        that were there. Nothing is raised here, where Tune would go on without the trials that it
        is restoring, and write that over its saved state. What is wrong ends the sweep at the next
        proposal.
        """
        concurrent, points = self._concurrent, self._points_to_evaluate
        try:
            with Path(checkpoint_path).open("rb") as stream:
                self.__dict__.update(_Moved(stream).load())
        except Exception as error:  # a damaged pickle raises anything
            self._refusal = (
                f"searcher must go on from its state {checkpoint_path}, which cannot be read: "
                f"{first_line(error)}"
            )
            say(self._refusal)
            return
        self._concurrent = concurrent
        known = len(self._points_to_evaluate)
        if self._space and points[:known] == self._points_to_evaluate:
            for point in points[known:]:
                self._ot_study.enqueue_trial(point)
            self._points_to_evaluate = points

    def _values(self, result: Mapping[str, Any] | None, error: bool) -> list[float] | None:
        """The objectives of a result; ``None`` if one is not known or not finite."""
        known = result or {}
        trial = known.get(TRIAL_ID)
        values = [read_number(trial, name, known.get(name)) for name in self._metric]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        return None if error or len(finite) < len(values) else finite

    def _tell(self, trial_id: str, result: dict[str, Any] | None, failed: bool) -> None:
        if self._space:
            super().on_trial_complete(trial_id, None if failed else result, failed)
