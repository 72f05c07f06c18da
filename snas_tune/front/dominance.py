"""Dominance and hypervolume of points with any number of objectives, on plain arrays.

A point dominates another if it is at least as good in every objective and better in one. All
functions here treat the corner cases as :func:`nondominated` states them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from snas_tune.objective_checks import MODES, check_modes
from snas_tune.values import shown

__all__ = ["MODES", "hypervolume", "nondominated", "nondominated_rank", "signs"]


def nondominated(points: npt.ArrayLike, modes: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which points no other point dominates.

    - A row with NaN in any objective is never on the front and dominates nothing: an
      unmeasured child can neither win nor beat another.
    - Rows that are equal in all objectives are all kept or all dropped: two different children with
      the same numbers are both answers.
    - Infinities are numbers like others.

    Two objectives take O(n log n); one, or three and more, O(n x size of the front).

    Args:
        points: (n, m), one row a point, one column an objective.
        modes: m of ``max`` or ``min``.

    Returns:
        (n,) mask of the front.

    Raises:
        ValueError: the array is not two-dimensional, or the modes do not fit it.
    """
    costs = _costs(points, modes)
    known = ~np.isnan(costs).any(axis=1)
    distinct, inverse = _distinct(costs[known])
    mask = np.zeros(len(costs), dtype=np.bool_)
    mask[known] = _front_of_distinct(distinct)[inverse]
    return mask


def nondominated_rank(points: npt.ArrayLike, modes: Sequence[str]) -> npt.NDArray[np.int64]:
    """The number of fronts to peel off before a point is on the front of the rest.

    Args:
        points: (n, m), as in :func:`nondominated`.
        modes: m of ``max`` or ``min``.

    Returns:
        (n,) ranks: 0 is the front; rows with NaN come last, one rank behind the worst of the others
        (and never on rank 0).

    Raises:
        ValueError: as :func:`nondominated`.
    """
    costs = _costs(points, modes)
    known = ~np.isnan(costs).any(axis=1)
    distinct, inverse = _distinct(costs[known])
    peel = _rank_two if costs.shape[1] == 2 else _rank_any
    known_ranks = peel(distinct)[inverse]
    ranks = np.full(len(costs), max(1, known_ranks.max(initial=0) + 1), dtype=np.int64)
    ranks[known] = known_ranks
    return ranks


def hypervolume(points: npt.ArrayLike, modes: Sequence[str], reference: npt.ArrayLike) -> float:
    """The volume that the points dominate, up to the reference point, exactly.

    Two objectives are swept in O(n log n); each further objective is sliced at every distinct value
    of it, a factor n (Zitzler, "Evolutionary Algorithms for Multiobjective Optimization", 1999).
    A point that is not better than the reference in every objective contributes nothing, and nor
    does a row with NaN. A point that is infinitely good in one objective makes the volume infinite.

    Args:
        points: (n, m), as in :func:`nondominated`.
        modes: m of ``max`` or ``min``.
        reference: (m,), the worst corner, in the units of the points.

    Returns:
        The volume in the product of the objectives' units, 0 without points.

    Raises:
        ValueError: as :func:`nondominated`, or the reference is not m finite numbers.
    """
    costs = _costs(points, modes)
    corner = _numbers("reference", reference)
    if corner.shape != (costs.shape[1],) or not np.isfinite(corner).all():
        raise ValueError(
            f"reference must be {costs.shape[1]} finite numbers, got {shown(reference)}"
        )
    corner = corner * signs(modes)
    inside = costs[(costs < corner).all(axis=1)]  # a comparison with NaN is false
    if np.isinf(inside).any():
        return float("inf")
    return _volume(inside, corner)


def signs(modes: Sequence[str]) -> npt.NDArray[np.float64]:
    """(m,) the factors that make every objective a cost: 1 for ``min``, -1 for ``max``.

    Raises:
        ValueError: the modes are no list, or one is neither.
    """
    check_modes(modes)
    return np.array([1.0 if mode == "min" else -1.0 for mode in modes])


def _costs(points: npt.ArrayLike, modes: Sequence[str]) -> npt.NDArray[np.float64]:
    """The points with every objective to be minimised."""
    factors = signs(modes)
    array = _numbers("points", points)
    if array.ndim != 2 or array.shape[1] != len(modes) or not modes:
        raise ValueError(
            f"points must have one row a point and one column for each of {len(modes)} modes, "
            f"got shape {array.shape}"
        )
    return array * factors


def _numbers(name: str, values: Any) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be numbers, got {shown(values)}") from error


def _distinct(
    costs: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """The distinct rows in lexicographic order, and for each row the place of its copy there.

    In this order a point comes after all points that dominate it.
    """
    order = np.lexsort(costs.T[::-1])
    ordered = costs[order]
    first = np.ones(len(costs), dtype=np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    inverse = np.empty(len(costs), dtype=np.intp)
    inverse[order] = np.cumsum(first) - 1
    return ordered[first], inverse


def _front_of_distinct(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """The front of rows as :func:`_distinct` gives them."""
    mask = np.ones(len(costs), dtype=np.bool_)
    if costs.shape[1] == 2:
        # Points before this one are no worse in the first objective, so the best second decides.
        second = costs[:, 1]
        mask[1:] = second[1:] < np.minimum.accumulate(second)[:-1]
        return mask
    mask[:] = False
    remaining = np.arange(len(costs))
    while len(remaining):
        best = remaining[0]  # no row after it dominates it, and no row before it did
        mask[best] = True
        remaining = remaining[(costs[remaining] < costs[best]).any(axis=1)]
    return mask


def _rank_two(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """All fronts in one pass: ``lowest[k]`` is the least second objective on front k so far.

    Front k holds a point that dominates this one exactly if ``lowest[k]`` is not above it, and
    ``lowest`` ascends, so its place is found by bisection (Jensen, 2003, doi:10.1109/
    TEVC.2003.817234).
    """
    lowest: list[float] = []
    ranks = np.empty(len(costs), dtype=np.int64)
    for i, second in enumerate(costs[:, 1].tolist()):
        ranks[i] = rank = bisect_right(lowest, second)
        lowest[rank : rank + 1] = [second]
    return ranks


def _rank_any(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Fronts peeled off one by one; rows as :func:`_distinct` gives them."""
    ranks = np.empty(len(costs), dtype=np.int64)
    remaining = np.arange(len(costs))
    rank = 0
    while len(remaining):
        front = _front_of_distinct(costs[remaining])
        ranks[remaining[front]] = rank
        remaining = remaining[~front]
        rank += 1
    return ranks


def _volume(costs: npt.NDArray[np.float64], corner: npt.NDArray[np.float64]) -> float:
    """Hypervolume of finite points that are all strictly below the corner."""
    if not len(costs):
        return 0.0
    distinct, _ = _distinct(costs)
    front = distinct[_front_of_distinct(distinct)]
    if len(corner) == 1:
        return float(corner[0] - front[0, 0])
    if len(corner) == 2:
        above = np.concatenate([corner[1:], front[:-1, 1]])
        return float(np.sum((corner[0] - front[:, 0]) * (above - front[:, 1])))
    front = front[np.argsort(front[:, -1], kind="stable")]
    levels = np.append(front[:, -1], corner[-1])
    # Between two neighbouring values of the last objective the dominated section is constant.
    volume = 0.0
    for i, thickness in enumerate(np.diff(levels).tolist()):
        if thickness > 0:
            volume += thickness * _volume(front[: i + 1, :-1], corner[:-1])
    return volume
