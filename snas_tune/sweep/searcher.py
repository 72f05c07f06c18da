"""The searcher: Optuna with two objectives, made reproducible when several trials run at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from ray.tune.search.optuna import OptunaSearch

from snas_tune.results import OBJECTIVES

SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}
"""Optuna's multi-objective samplers by name."""


def check_searcher(sampler: str, concurrent: int | None) -> None:
    """Refuse what :func:`make_searcher` cannot make.

    Raises:
        ValueError: the sampler is unknown or ``concurrent`` is given and not a positive integer.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"searcher must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
    if concurrent is not None and not (isinstance(concurrent, int) and concurrent >= 1):
        raise ValueError(f"concurrent must be a positive whole number, got {concurrent!r}")


class BatchedOptuna(OptunaSearch):  # type: ignore[misc]  # Ray's classes are untyped here
    """Proposes trials in batches, and learns from a batch only when all of it has ended.

    Tune's own Optuna searcher learns in the order in which trials happen to end, so a sweep on two
    cores differs from run to run. Here a proposal depends on whole batches alone, told in the order
    in which they were proposed: one seed fixes the sweep. Trials whose last result is NaN, or that
    failed, are told as failed instead of being lost in a warning.

    Args:
        batch: trials of a batch, and the most that run at once (``concurrent``).
        sampler: a key of :data:`SAMPLERS`.
        seed: of the sampler.
        points: configs to try first.
        objectives: names and modes.
    """

    def __init__(
        self,
        *,
        batch: int,
        sampler: str = "tpe",
        seed: int = 0,
        points: Sequence[Mapping[str, Any]] = (),
        objectives: Sequence[tuple[str, str]] = OBJECTIVES,
    ) -> None:
        check_searcher(sampler, batch)
        super().__init__(
            metric=[name for name, _ in objectives],
            mode=[mode for _, mode in objectives],
            sampler=SAMPLERS[sampler](seed),
            points_to_evaluate=[dict(point) for point in points] or None,
        )
        self._batch = batch
        self._open: dict[str, tuple[dict[str, Any] | None, bool] | None] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next config, or ``None`` while the present batch is running."""
        if trial_id not in self._open:
            if len(self._open) >= self._batch:
                return None
            self._open[trial_id] = None
        if not self._space:
            return {}  # nothing varies, which Tune's own searcher refuses
        config: dict[str, Any] | None = super().suggest(trial_id)
        return config

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note the end of a trial; at the end of a batch, tell Optuna of all of it."""
        if trial_id not in self._open:
            return
        values = [(result or {}).get(name, math.nan) for name in self._metric]
        failed = error or any(math.isnan(value) for value in values)
        self._open[trial_id] = (None if failed else result, failed)
        if len(self._open) == self._batch and all(self._open.values()):
            for name, ended in self._open.items():
                assert ended is not None
                if self._space:
                    super().on_trial_complete(name, *ended)
            self._open.clear()


def make_searcher(
    sampler: str = "tpe",
    *,
    concurrent: int,
    seed: int = 0,
    points: Sequence[Mapping[str, Any]] = (),
) -> BatchedOptuna:
    """Optuna over accuracy and FLOPs of the child, see :class:`BatchedOptuna`.

    Raises:
        ValueError: the sampler is unknown or ``concurrent`` is not positive.
    """
    return BatchedOptuna(batch=concurrent, sampler=sampler, seed=seed, points=points)
