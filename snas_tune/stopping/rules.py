"""The rules that decide at a rung which trials go on: pure functions of a history.

A rule is asked when a trial has just reported: its report is the last one of its rung. All
objectives are costs, to be minimised, and finite: a trial that diverged is stopped unasked, unless
the rule has an attribute ``keeps_diverged`` that is true.

An objective that is the same for all has no say. The rules that keep a share keep ties, but not
any number of copies of one trial: of those whose objectives are all equal at a rung,
:data:`COPIES` go on, and more only as the share has room for from the first of them on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from snas_tune.front.dominance import hypervolume, nondominated_rank
from snas_tune.stopping.history import Costs, History, Report, nearest, unit_range
from snas_tune.stopping.predict import predict

COPIES = 16
"""Copies of a trial that go on whatever the share has room for. Trials that are equal early need
not stay so; docs/scheduling.md has the replay."""


class Rule(Protocol):
    """Decides which trials go on."""

    def __call__(self, history: History, report: Report) -> bool:
        """Whether the trial of this report, the last one of its rung, goes on."""


@dataclass(frozen=True, slots=True)
class Fifo:
    """Every trial goes on to its end, also one that diverged."""

    keeps_diverged: ClassVar[bool] = True

    def __call__(self, history: History, report: Report) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Asha:
    """The best share of a rung in one objective goes on (Li et al., MLSys 2020, stopping form).

    Args:
        reduction_factor: the share's inverse.
        objective: which one counts, by its place.
    """

    reduction_factor: float
    objective: int = 0

    def __call__(self, history: History, report: Report) -> bool:
        rung = history.rungs[report.rung]
        costs = rung.costs[:, self.objective]
        room = len(costs) / self.reduction_factor - int((costs < costs[-1]).sum())
        return _has_room(room, rung.costs, rung.stopped)


@dataclass(frozen=True, slots=True)
class AshaScalar:
    """The best share of a rung in a weighted sum of the normalised objectives goes on.

    Args:
        reduction_factor: the share's inverse.
        weights: one for each objective; all the same if not given.
    """

    reduction_factor: float
    weights: tuple[float, ...] | None = None

    def __call__(self, history: History, report: Report) -> bool:
        rung = history.rungs[report.rung]
        costs = unit_range(rung.costs)
        sums = costs @ np.asarray(self.weights or (1.0,) * costs.shape[1])
        room = len(sums) / self.reduction_factor - int((sums < sums[-1]).sum())
        return _has_room(room, rung.costs, rung.stopped)


@dataclass(frozen=True, slots=True)
class MoAsha:
    """The best share of a rung by non-dominated rank goes on; an epsilon net orders each rank.

    MO-ASHA (Schmucker et al., arXiv 2106.12639) as it was meant: objectives are normalised over the
    rung, and a trial's priority is its own place in the order, which Syne Tune's code confuses with
    the trial at that place.

    Args:
        reduction_factor: the share's inverse.
    """

    reduction_factor: float

    def __call__(self, history: History, report: Report) -> bool:
        rung = history.rungs[report.rung]
        return _in_share(rung.costs, rung.stopped, self.reduction_factor)


def _in_share(costs: Costs, stopped: npt.NDArray[np.bool_], reduction_factor: float) -> bool:
    """Whether the last of some trials is in the best share in MO-ASHA's order."""
    place = epsilon_net_place(costs, len(costs) - 1, _most(len(costs), reduction_factor))
    return _has_room(len(costs) / reduction_factor - place, costs, stopped)


def _has_room(room: float, costs: Costs, stopped: npt.NDArray[np.bool_]) -> bool:
    """Whether the last of some trials goes on, if the share has that room from its place on.

    Its place is the one that it has as the first of its copies. Those of them that went on fill the
    room.
    """
    copies = (costs[:-1] == costs[-1]).all(axis=1)
    kept = int((copies & ~stopped[:-1]).sum())
    return room > 0 and kept < max(room, COPIES)


def beats_all(costs: Costs) -> bool:
    """Whether the last of some trials is as good as any other in each objective, and equal to none.

    So is the best one in the one objective that differs.
    """
    others, own = costs[:-1], costs[-1]
    return bool((own <= others).all() and (own != others).any(axis=1).all())


def _most(count: int, reduction_factor: float) -> int:
    """The number of trials, of ``count``, that go on."""
    return int(np.ceil(count / reduction_factor))


def epsilon_net_place(costs: Costs, row: int, enough: int) -> int:
    """The place of a row in the order of MO-ASHA, from 0.

    Rows are ordered by non-dominated rank; within a rank the first is the one with the least first
    objective, and then always the one that is the farthest from all before it, in objectives that
    are normalised over all rows. Ties go to the row that is given, then to the first.

    Args:
        costs: (n, m).
        row: whose place is asked for.
        enough: a place from which on the answer no longer matters: any number as large will do.
    """
    ranks = nondominated_rank(costs, ("min",) * costs.shape[1])
    ahead = int((ranks < ranks[row]).sum())
    if ahead >= enough:
        return ahead
    mates = np.flatnonzero(ranks == ranks[row])
    points = unit_range(costs)[mates]
    own = int(np.searchsorted(mates, row))
    best = points[:, 0].min()
    chosen = own if points[own, 0] == best else int(np.argmin(points[:, 0]))
    distance = np.full(len(mates), np.inf)
    place = ahead
    while chosen != own and place + 1 < enough:
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen], axis=1))
        far = distance.max()
        chosen = own if distance[own] == far else int(np.argmax(distance))
        place += 1
    return place if chosen == own else place + 1


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A trial is stopped only if even its optimistic end would add nothing to the front.

    One that no other report is better than goes on, copies included, so of trials that are all
    alike none is stopped; and one that beats every other one at its rung.

    Args:
        optimism: standard deviations by which every objective may end up better than predicted.
        slack: the least gain in hypervolume, as a share of the box that all reports so far span,
            that keeps a trial.
    """

    optimism: float = 0.5
    slack: float = 0.001

    def __call__(self, history: History, report: Report) -> bool:
        own = np.array(report.costs)
        on_front = (history.front == own).all(axis=1).any()
        if on_front or beats_all(history.rungs[report.rung].costs):
            return True
        predicted = predict(history, report.rung, np.array([report.niche]), own[None])
        if predicted is None:
            return True
        expected, deviation = predicted
        return gain(history, expected[0] - self.optimism * deviation[0]) > self.slack


@dataclass(frozen=True, slots=True)
class LagCorrected:
    """MO-ASHA of where trials will end instead of where they are.

    In a sweep over penalty strengths the costs at an early rung mislead: strong penalties commit
    earlier, so that their trials are ahead in every objective of those that will own the accurate
    end of the front. So each trial's end is predicted from how its neighbours moved
    (:func:`snas_tune.stopping.predict.predict`), and the rule ranks the predictions; until enough
    trials have ended, it ranks the reports. One that beats every other one at its rung goes on.

    Args:
        reduction_factor: the inverse of the share that goes on.
        window: trials that one is ranked among: those at its rung whose niches are the nearest, or
            without niches the latest.
    """

    reduction_factor: float
    window: int = 64

    def __call__(self, history: History, report: Report) -> bool:
        rung = history.rungs[report.rung]
        if beats_all(rung.costs):
            return True
        if np.isnan(report.niche):
            rows = np.arange(max(0, len(rung) - self.window), len(rung))
        else:
            rows = np.sort(nearest(rung.by_niche, report.niche, self.window))
        costs = rung.costs[rows]
        predicted = predict(history, report.rung, rung.niches[rows], costs, deviation=False)
        costs = costs if predicted is None else predicted[0]
        return _in_share(costs, rung.stopped[rows], self.reduction_factor)


@dataclass(frozen=True, slots=True)
class Pareto:
    """The default: :class:`LagCorrected`, but the best of each niche always goes on.

    So neither end of the front can die while the trials of the middle are ahead of it. After the
    first rung fewer are stopped: the trials left differ less, and stopping one loses its epochs so
    far. docs/scheduling.md has the replays from which these numbers come.

    Args:
        reduction_factor: the inverse of the share that goes on at the first rung.
        later: the same at the other rungs, if that is less.
        niche: trials of a niche; one that is the best of them in any objective is never stopped.
    """

    reduction_factor: float
    later: float = 2.0
    niche: int = 9

    def __call__(self, history: History, report: Report) -> bool:
        factor = self.reduction_factor
        if report.rung:
            factor = min(factor, self.later)
        best = best_of_niche(history, report, self.niche)
        return best or LagCorrected(factor)(history, report)


MARGIN = 0.1
"""How far the reference point lies beyond the worst report, as a share of the range."""


def gain(history: History, point: npt.NDArray[np.float64]) -> float:
    """The hypervolume that a point would add to the front, in normalised objectives.

    The reference point lies a little beyond the worst value of each objective, so that the ends of
    the front count as well.

    Args:
        history: whose front it is.
        point: (m,) as :meth:`History.normalised` gives it.
    """
    front = history.normalised(history.front)
    modes = ("min",) * len(point)
    corner = np.full(len(point), 1 + MARGIN)
    return hypervolume(np.vstack([front, point]), modes, corner) - hypervolume(front, modes, corner)


def best_of_niche(history: History, report: Report, size: int) -> bool:
    """Whether a trial is the best in any objective of those that are nearest to it at its rung.

    Ties in an objective go to the trial that is better in the next one, then to the earlier.

    Args:
        history: with the report.
        report: of the trial.
        size: number of trials, itself included; without niches the whole rung.
    """
    rung = history.rungs[report.rung]
    if np.isnan(report.niche):
        costs = rung.costs
    else:
        costs = rung.costs[sorted(nearest(rung.by_niche, report.niche, size))]
    objectives = costs.shape[1]
    for first in range(objectives):
        order = [(first + i) % objectives for i in range(objectives)]
        keys = costs[:, order]
        if all(tuple(keys[-1]) < tuple(row) for row in keys[:-1]):
            return True
    return False
