"""Where the front is thin: the niche from which the next trial would fill its widest gap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from snas_tune.front.dominance import nondominated
from snas_tune.stopping.history import unit_range

FINEST = 1e-3
"""The narrowest interval that is divided, as a share of the range of niches."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trial, as the search for gaps sees it."""

    niche: float
    """Such as the logarithm of its penalty strength."""

    costs: tuple[float, ...] | None = None
    """Its objectives at its end, to be minimised; ``None`` for one that was stopped, failed or is
    still running: its niche counts as explored, without a result."""


def widest_gap(outcomes: Sequence[Outcome], low: float, high: float) -> float | None:
    """The niche in the middle of the widest gap of the front.

    The gaps are those between trials on the front that are neighbours in niche: their distance in
    objectives that are normalised over all trials that ended. As a weighted sum leaves gaps where
    the front is not convex (Das and Dennis, 1997), and noise makes others, a gap counts for less
    the more trials already lie in it: its width is shared among the intervals between them. From
    the ends of the range to the first and the last trial a gap is as wide as it is of the range.

    Args:
        outcomes: of all trials so far, in any order.
        low: the lower end of the range of niches.
        high: the upper end.

    Returns:
        A niche, the lowest one of equal gaps; ``None`` if no trial has ended, or the range has no
        interval left that is worth dividing.
    """
    ended = [outcome for outcome in outcomes if outcome.costs is not None]
    if not ended or not low < high:
        return None
    costs = np.array([outcome.costs for outcome in ended], dtype=np.float64)
    on_front = nondominated(costs, ("min",) * costs.shape[1])
    members: dict[float, np.ndarray] = {}  # one of each niche: seeds of the same one are no gap
    for outcome, place, member in zip(ended, unit_range(costs), on_front, strict=True):
        if member:
            members.setdefault(outcome.niche, place)
    niches = sorted({outcome.niche for outcome in outcomes if low <= outcome.niche <= high})
    stops = sorted(members)
    best: tuple[float, float] | None = None
    for left, right in zip([low, *stops], [*stops, high], strict=True):
        if left in members and right in members:
            size = float(np.linalg.norm(members[left] - members[right]))
        else:
            size = (right - left) / (high - low)
        between = niches[bisect_right(niches, left) : bisect_left(niches, right)]
        inner = [left, *between, right]
        start, end = max(pairwise(inner), key=lambda ends: ends[1] - ends[0])
        size /= len(inner) - 1
        if end - start > FINEST * (high - low) and (best is None or size > best[0]):
            best = size, (start + end) / 2
    return None if best is None else best[1]
