"""The reports of a sweep's trials at the rungs, in the order in which they arrived.

A rung is a time (epochs, say) at which it is decided which trials go on. Everything that a decision
depends on is here, so that a history that was written down and read again leads to the same ones.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snas_tune.checks import ABOVE_ONE, POSITIVE, check_value
from snas_tune.front.running import joined

Costs = npt.NDArray[np.float64]
"""(n, m): a row for each trial and a column for each objective, all of them to be minimised."""

Vector = npt.NDArray[np.float64]
"""(m,): one number for each objective; or (q,): one for each of some trials."""

Changes = npt.NDArray[np.float64]
"""(q, k, m): of k trials that are near each of q others, one number for each objective."""


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one trial at one rung."""

    trial: str
    rung: int
    """The place of the rung, 0 the first; the last one is the end of the trials."""

    costs: tuple[float, ...]
    """One finite number for each objective, all to be minimised."""

    niche: float = math.nan
    """Where the trial stands among the others: the logarithm of its penalty strength. NaN if it
    has no such place."""

    time: float = math.nan
    """When it reported, in the unit of the rungs' times; NaN where that was not written down."""


MOST_RUNGS = 100
"""Rungs of a trial, its end among them. More would be closer to each other than epochs are."""


def rung_levels(grace_period: float, reduction_factor: float, max_t: float) -> tuple[float, ...]:
    """The times of the rungs: ``grace_period`` x ``reduction_factor`` ** k below ``max_t``.

    The end itself, ``max_t``, follows as the last one (Li et al., "A System for Massively Parallel
    Hyperparameter Tuning", MLSys 2020, algorithm 2).

    Raises:
        ValueError: one is no number, or out of its range, or there are more than
            :data:`MOST_RUNGS`.
    """
    grace_period = check_value("grace_period", grace_period, POSITIVE)
    reduction_factor = check_value("reduction_factor", reduction_factor, ABOVE_ONE)
    max_t = check_value("max_t", max_t, POSITIVE)
    if max_t < grace_period:
        raise ValueError(f"grace_period must be at most max_t, {max_t:g}, got {grace_period:g}")
    apart = math.log(max_t) - math.log(grace_period)  # the quotient may overflow
    if apart > MOST_RUNGS * math.log(reduction_factor):
        raise ValueError(
            f"reduction_factor must give at most {MOST_RUNGS} rungs from {grace_period:g} to "
            f"{max_t:g}, got {reduction_factor!r}"
        )
    levels: list[float] = []
    level = grace_period
    while level < max_t:
        levels.append(level)
        level *= reduction_factor
        if level <= levels[-1]:  # a number of few digits is rounded to itself
            raise ValueError(
                f"reduction_factor must lead from {levels[-1]!r} to a later rung, "
                f"got {reduction_factor!r}"
            )
    return (*levels, max_t)


def shares(costs: Costs, low: Vector, high: Vector) -> Costs:
    """(n, m) costs as shares of the way from low to high; 0 where these are equal.

    All are divided by 16 before two of them are subtracted, which is exact, and without which the
    difference of two finite numbers may be infinite.
    """
    width = high / 16 - low / 16
    return np.asarray(
        np.where(width > 0, (costs / 16 - low / 16) / np.where(width > 0, width, 1), 0.0)
    )


def unit_range(costs: Costs) -> Costs:
    """(n, m) each objective moved and scaled to 0 to 1; 0 where all are equal."""
    return shares(costs, costs.min(axis=0), costs.max(axis=0))


class Rung:
    """All reports at one rung, in the order of their arrival."""

    def __init__(self, objectives: int) -> None:
        self._costs = np.empty((16, objectives))
        self._niches = np.empty(16)
        self._stopped = np.zeros(16, dtype=np.bool_)
        self.places: dict[str, int] = {}
        """The row of each trial."""
        self.by_niche: list[tuple[float, int]] = []
        """Niche and row, ascending; trials without a niche are not in it."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def costs(self) -> Costs:
        """(n, m)."""
        return self._costs[: len(self)]

    @property
    def niches(self) -> npt.NDArray[np.float64]:
        """(n,), NaN for trials that have none."""
        return self._niches[: len(self)]

    @property
    def stopped(self) -> npt.NDArray[np.bool_]:
        """(n,) which trials were stopped here."""
        return self._stopped[: len(self)]

    def add(self, report: Report) -> None:
        """Append a report, of a trial that is not yet here."""
        place = len(self)
        if place == len(self._costs):  # twice the room, so that adding stays cheap
            self._costs = np.concatenate([self._costs, np.empty_like(self._costs)])
            self._niches = np.concatenate([self._niches, np.empty_like(self._niches)])
            self._stopped = np.concatenate([self._stopped, np.zeros_like(self._stopped)])
        self._costs[place] = report.costs
        self._niches[place] = report.niche
        self.places[report.trial] = place
        if not math.isnan(report.niche):
            insort(self.by_niche, (report.niche, place))

    def stop(self, trial: str) -> None:
        """Note that a trial was stopped here."""
        if trial in self.places:
            self._stopped[self.places[trial]] = True


RECENT = 256
"""Most trials without a niche that are searched for the nearest ones."""


class Moves:
    """The costs of each trial at one rung and at the next.

    Trials are kept in the order of their niches and, within one, of their changes, so that the
    neighbours do not depend on the order in which trials reported.
    """

    def __init__(self, objectives: int) -> None:
        self._keys: list[tuple[float, ...]] = []
        self._niches = np.empty(0)
        self._moves = np.empty((0, 2, objectives))
        self._recent: list[npt.NDArray[np.float64]] = []

    def __len__(self) -> int:
        return len(self._niches) + len(self._recent)

    def add(self, niche: float, here: Vector, there: Vector) -> None:
        """Note a trial's (m,) costs at the first of the rungs, and at the next."""
        move = np.stack([here, there])
        if math.isnan(niche):
            self._recent = [*self._recent[1 - RECENT :], move]
            return
        key = (niche, *(there / 16 - here / 16).tolist())
        place = bisect_left(self._keys, key)
        self._keys.insert(place, key)
        self._niches = np.insert(self._niches, place, niche)
        self._moves = np.insert(self._moves, place, move, axis=0)

    def near(
        self, niches: Vector, places: Costs, scale: Callable[[Costs], Costs], count: int
    ) -> Changes | None:
        """The changes of those ``count`` trials that are the nearest to each of some others.

        Nearest in niche, the lower one of two that are as near; or, where there are no niches, in
        costs, among the last :data:`RECENT` trials.

        Args:
            niches: (q,) of the others; all NaN if there are none.
            places: (q, m) the scaled costs of the others, at the first of the rungs.
            scale: scales costs.
            count: number of neighbours.

        Returns:
            (q, count, m) scaled; ``None`` if there are fewer trials than ``count``.
        """
        if np.isnan(niches).any():
            if len(self._recent) < count:
                return None
            moves = np.array(self._recent)  # (trials, 2, m)
            moves = scale(moves[np.lexsort(moves.reshape(len(moves), -1).T)])
            apart = np.linalg.norm(places[:, None] - moves[None, :, 0], axis=-1)
            nearest_rows = np.argsort(apart, axis=1, kind="stable")[:, :count]
            return np.asarray((moves[:, 1] - moves[:, 0])[nearest_rows])
        if len(self._niches) < count:
            return None
        # The nearest lie among as many on either side of where each would be inserted.
        around = np.searchsorted(self._niches, niches)[:, None] + np.arange(-count, count)
        outside = (around < 0) | (around >= len(self._niches))
        around = np.clip(around, 0, len(self._niches) - 1)
        apart = np.where(outside, np.inf, np.abs(self._niches[around] - niches[:, None]))
        chosen = np.argsort(apart, axis=1, kind="stable")[:, :count]
        moves = scale(self._moves[around[np.arange(len(around))[:, None], chosen]])
        return np.asarray(moves[..., 1, :] - moves[..., 0, :])


def nearest(by_niche: Sequence[tuple[float, int]], niche: float, count: int) -> list[int]:
    """The rows of the ``count`` entries of an ascending list that lie nearest to a niche.

    Entries that are as near as the last of them come, too, so that the order in which trials
    reported does not decide.
    """
    right = bisect_left(by_niche, (niche, -1))
    left = right - 1
    rows: list[int] = []
    distance = -1.0
    while left >= 0 or right < len(by_niche):
        below = niche - by_niche[left][0] if left >= 0 else math.inf
        above = by_niche[right][0] - niche if right < len(by_niche) else math.inf
        if len(rows) >= count and min(below, above) > distance:
            break
        distance = min(below, above)
        if below <= above:
            rows.append(by_niche[left][1])
            left -= 1
        else:
            rows.append(by_niche[right][1])
            right += 1
    return rows


class History:
    """Every report at every rung, and which trials were stopped.

    Args:
        rungs: their number, the end of the trials included.
        objectives: their number.
    """

    def __init__(self, rungs: int, objectives: int) -> None:
        self.rungs = [Rung(objectives) for _ in range(rungs)]
        self.stopped: dict[str, int] = {}
        """The rung at which each stopped trial was stopped."""
        self.ended: dict[str, float] = {}
        """The time at which each trial ended that ended by itself before the last rung."""
        self.low = np.full(objectives, np.inf)
        """(m,) the least cost of each objective so far."""
        self.high = np.full(objectives, -np.inf)
        """(m,) the largest."""
        self.front: Costs = np.empty((0, objectives))
        """(k, m) the costs that no other report of any rung dominates; equal ones once."""
        self.moves = [Moves(objectives) for _ in range(rungs - 1)]
        """How the costs of trials changed from each rung to the next one."""

    def reached(self, trial: str) -> int:
        """The last rung at which a trial reported, -1 if at none."""
        return next(
            (i for i in reversed(range(len(self.rungs))) if trial in self.rungs[i].places), -1
        )

    def add(self, report: Report) -> None:
        """Append a report.

        Raises:
            ValueError: the trial is already at that rung, or a cost is not finite.
        """
        rung = self.rungs[report.rung]
        costs = np.asarray(report.costs, dtype=np.float64)
        if report.trial in rung.places:
            raise ValueError(f"trial must report once at rung {report.rung}, got {report.trial}")
        if costs.shape != self.low.shape or not np.isfinite(costs).all():
            raise ValueError(
                f"costs must be {len(self.low)} finite numbers, got {report.costs} from "
                f"{report.trial}"
            )
        rung.add(report)
        if report.rung:
            before = self.rungs[report.rung - 1].places.get(report.trial)
            if before is not None:
                here = self.rungs[report.rung - 1].costs[before].copy()
                self.moves[report.rung - 1].add(report.niche, here, costs)
        self._measured(costs)

    def _measured(self, costs: Vector) -> None:
        self.low, self.high = np.minimum(self.low, costs), np.maximum(self.high, costs)
        front = joined(self.front, costs, ("min",) * len(costs))
        self.front = self.front if front is None else front

    def end(self, report: Report) -> None:
        """Note the end of a trial that ended by itself, at the last rung that it had passed.

        If it had reported there before, its end belongs to no rung: it is on its way to the next.
        """
        if report.rung > self.reached(report.trial):
            self.add(report)
        else:
            self._measured(np.asarray(report.costs, dtype=np.float64))
        self.ended[report.trial] = report.time

    def stop(self, trial: str, rung: int) -> None:
        """Note that a trial was stopped; one whose report is not in the rung had diverged."""
        self.stopped[trial] = rung
        self.rungs[rung].stop(trial)

    def normalised(self, costs: Sequence[float] | Costs) -> Costs:
        """Costs as shares of the range of each objective so far; 0 where it has no width."""
        return shares(np.asarray(costs, dtype=np.float64), self.low, self.high)
