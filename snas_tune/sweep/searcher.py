"""The searchers: Optuna with two objectives, in whole batches or wherever the front is thin."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ray.tune.result import TRIAL_ID
from ray.tune.search.sample import Domain, Float

from snas_tune.checks import POSITIVE, TEXT, WHOLE_SHARE, check_value
from snas_tune.front.dominance import signs
from snas_tune.results import EPOCH, OBJECTIVES
from snas_tune.stopping import Outcome, widest_gap
from snas_tune.sweep.reports import read_number
from snas_tune.sweep.two_objectives import WHOLE, TwoObjectives, check_searcher
from snas_tune.values import plain


class BatchedOptuna(TwoObjectives):
    """Proposes trials in batches, and learns from a batch only when all of it has ended.

    Tune's own Optuna searcher learns in the order in which trials happen to end, so a sweep on two
    cores differs from run to run. Here a proposal depends on whole batches alone, told in the order
    in which they were proposed: one seed fixes the sweep. A worker waits for the others of its
    batch, so this is for trials that all run to their end.

    Args:
        batch: trials of a batch, and the most that run at once (``concurrent``).
        sampler: a key of :data:`SAMPLERS`.
        seed: of the sampler.
        points: configs to try first.
        objectives: pairs of a name and ``max`` or ``min``, or a mapping of them.
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
        super().__init__(sampler, batch, seed, points, objectives)
        self._open: dict[str, tuple[dict[str, Any] | None, bool] | None] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next config, or ``None`` while the present batch is running."""
        if trial_id not in self._open:
            if len(self._open) >= self._concurrent:
                return None
            self._open[trial_id] = None
        return self._ask(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note the end of a trial; at the end of a batch, tell Optuna of all of it."""
        if trial_id not in self._open:
            return
        failed = self._values(result, error) is None
        self._open[trial_id] = (None if failed else result, failed)
        self._end_batch()

    def _end_batch(self) -> None:
        """Tell Optuna of a batch that has ended; it is longer than now asked for after a resume."""
        if len(self._open) >= self._concurrent and all(self._open.values()):
            for name, ended in self._open.items():
                assert ended is not None
                self._tell(name, *ended)
            self._open.clear()

    def restore(self, checkpoint_path: str) -> None:
        """As of its base class; a batch of fewer trials than before may have ended."""
        super().restore(checkpoint_path)
        self._end_batch()


class ParetoSearch(TwoObjectives):
    """Proposes trials where the front is thin, and elsewhere what one of Optuna's samplers likes.

    After the first points every proposal is, with probability ``gap_share``, the penalty strength
    in the middle of the widest gap of the front (:func:`snas_tune.stopping.widest_gap`), the other
    settings being the sampler's; or the sampler's own.

    A trial that was stopped has values that are not those it would have ended with. It fills no
    gap; and Optuna is told its values with a constraint that they violate by the share of the time
    that was left: such a trial counts as worse than every whole one, and among them the one that
    came further is better.

    It learns as results come, so with more than one trial at a time a sweep depends on their order.

    Args:
        concurrent: the most trials that run at once.
        sampler: a key of :data:`SAMPLERS`.
        seed: of the sampler and of the choice between it and the gaps.
        points: configs to try first.
        objectives: pairs of a name and ``max`` or ``min``, or a mapping of them.
        niche: the positive setting in which gaps are looked for; its logarithm counts.
        gap_share: how often.
        whole: of a whole trial, the result that says how far it came and its value at the end, such
            as ``("epoch", 50)``; if it is not given, all trials count as whole.

    Raises:
        ValueError: an argument is wrong.
    """

    def __init__(
        self,
        *,
        concurrent: int,
        sampler: str = "tpe",
        seed: int = 0,
        points: Sequence[Mapping[str, Any]] = (),
        objectives: Sequence[tuple[str, str]] = OBJECTIVES,
        niche: str = "penalty_strength",
        gap_share: float = 0.5,
        whole: tuple[str, float] | None = None,
    ) -> None:
        super().__init__(sampler, concurrent, seed, points, objectives)
        self._niche = check_value("niche", niche, TEXT)
        self._gap_share = check_value("gap_share", gap_share, WHOLE_SHARE)
        if whole is not None:
            name, end = check_value("whole", whole, WHOLE)
            whole = plain(name), plain(end)
        self._seed_of_choice = plain(seed)
        self._first = len(points)
        self._whole = whole
        self._range: tuple[float, float] | None = None
        self._open: set[str] = set()
        self._outcomes: dict[str, Outcome] = {}

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Take the search space."""
        domain: Domain | None = config.get(self._niche)
        if isinstance(domain, Float) and 0 < domain.lower < domain.upper < math.inf:
            self._range = domain.lower, domain.upper
        taken: bool = super().set_search_properties(metric, mode, config, **spec)
        return taken

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next config, or ``None`` while as many run as may."""
        if trial_id not in self._open:
            if len(self._open) >= self._concurrent:
                return None
            self._open.add(trial_id)
            gap = self._gap() if self._space else None
            if gap is not None:
                self._ot_study.enqueue_trial({self._niche: gap})
        config = self._ask(trial_id)
        if self._range is not None:
            self._outcomes.setdefault(trial_id, Outcome(math.log(config[self._niche])))
        return config

    def _gap(self) -> float | None:
        """A penalty strength, if it is the gaps' turn and there is one."""
        count = len(self._outcomes)
        turn = np.random.default_rng([self._seed_of_choice, count]).random() < self._gap_share
        if self._range is None or count < self._first or not turn:
            return None
        low, high = self._range
        niche = widest_gap(list(self._outcomes.values()), math.log(low), math.log(high))
        # Within the range, also where the exponential of a logarithm is not.
        return None if niche is None else min(max(math.exp(niche), low), high)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Learn from the end of a trial."""
        if trial_id not in self._open:
            return
        self._open.remove(trial_id)
        values = self._values(result, error)
        left = self._left(result) if result and values else 0.0
        if values is not None and not left and trial_id in self._outcomes:
            costs = tuple((signs(self._mode) * values).tolist())
            self._outcomes[trial_id] = Outcome(self._outcomes[trial_id].niche, costs)
        if self._space:
            self._ot_trials[trial_id].set_constraint("left", left)
        self._tell(trial_id, result, values is None)

    def _left(self, result: Mapping[str, Any]) -> float:
        """The share of the time that a trial did not get: 0 for a whole one."""
        if self._whole is None:
            return 0.0
        time_attr, end = self._whole
        time = read_number(result.get(TRIAL_ID), time_attr, result.get(time_attr))
        return 0.0 if time is None or not math.isfinite(time) else max(0.0, 1 - time / end)

    def restore(self, checkpoint_path: str) -> None:
        """Read what ``save`` wrote, also of 0.1, which called some things otherwise."""
        super().restore(checkpoint_path)
        if "_max_t" in self.__dict__:
            time_attr, end = self.__dict__.pop("_time_attr"), self.__dict__.pop("_max_t")
            self._whole = None if end is None else (time_attr, end)


def make_searcher(
    searcher: str = "tpe",
    *,
    concurrent: int,
    seed: int = 0,
    points: Sequence[Mapping[str, Any]] = (),
    max_t: float | None = None,
) -> BatchedOptuna | ParetoSearch:
    """A searcher over accuracy and FLOPs of the child, by its name.

    Args:
        searcher: a key of :data:`SEARCHERS`.
        concurrent: the most trials that run at once.
        seed: fixes it.
        points: configs to try first.
        max_t: epochs of a whole trial where some may be stopped. If it is not given, none is, and a
            sampler alone proposes in batches (:class:`BatchedOptuna`).

    Raises:
        ValueError: the searcher is unknown or ``concurrent`` is not positive.
    """
    check_searcher(searcher, concurrent)
    if max_t is not None:
        max_t = check_value("max_t", max_t, POSITIVE)
    whole = None if max_t is None else (EPOCH, max_t)
    if searcher == "pareto":
        return ParetoSearch(concurrent=concurrent, seed=seed, points=points, whole=whole)
    if whole is None:
        return BatchedOptuna(batch=concurrent, sampler=searcher, seed=seed, points=points)
    return ParetoSearch(
        concurrent=concurrent, sampler=searcher, seed=seed, points=points, gap_share=0, whole=whole
    )
