"""Optuna's samplers; TPE looks at so many trials at the most that a proposal's cost is bounded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from snas_tune.front.dominance import nondominated

MOST = 250
"""Trials that the sampler looks at, at the most. So many proposals of a sweep are those of Optuna's
own sampler."""

KEPT = 200
"""How many of them are left when there are more: those on the front, and the latest of the rest."""


def kept_of(trials: list[FrozenTrial], modes: tuple[str, ...]) -> list[FrozenTrial]:
    """The :data:`KEPT` trials from which the next ones are proposed, in the order of their numbers.

    Args:
        trials: by their numbers; those without values or whose constraints are violated, as those
            of stopped trials are, are not on the front.
        modes: ``max`` or ``min`` of each value.
    """
    values = np.array([_values(trial, len(modes)) for trial in trials], np.float64)
    on_front = nondominated(values, modes)
    # The latest of either kind first, as a front may have more members than are kept.
    order = sorted(range(len(trials)), key=lambda place: (on_front[place], place))
    return [trials[place] for place in sorted(order[-KEPT:])]


def _values(trial: FrozenTrial, count: int) -> list[float]:
    whole = trial.values and not any(value > 0 for value in trial.constraints.values())
    return trial.values if whole else [math.nan] * count


class BoundedTPE(optuna.samplers.TPESampler):
    """Optuna's multi-objective TPE, which proposes from :data:`MOST` trials at the most.

    Args:
        seed: of the sampler.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        self._left: set[int] = set()
        """The numbers of the trials that are no longer looked at."""

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value for a parameter."""
        bounded: Any = _Bounded(study, self._left)
        return super().sample_independent(bounded, trial, param_name, param_distribution)


class _Bounded:
    """A study with the trials that its sampler looks at."""

    def __init__(self, study: optuna.Study, left: set[int]) -> None:
        self._study = study
        self._left = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(self, *args: Any, **options: Any) -> list[FrozenTrial]:
        trials = self._study._get_trials(*args, **options)
        seen = [trial for trial in trials if trial.number not in self._left]
        ended = [trial for trial in seen if trial.state.is_finished()]
        if len(ended) <= MOST:
            return seen
        modes = tuple("max" if way.name == "MAXIMIZE" else "min" for way in self.directions)
        kept = {trial.number for trial in kept_of(ended, modes)}
        self._left |= {trial.number for trial in ended} - kept
        return [trial for trial in seen if trial.number not in self._left]


SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": BoundedTPE,
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}
"""Optuna's multi-objective samplers by name."""
