"""The front of points that come one by one, and its hypervolume as they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from snas_tune.checks import check_value
from snas_tune.front.dominance import hypervolume, nondominated
from snas_tune.objective_checks import NUMBERS, check_modes
from snas_tune.values import shown


def joined(
    front: npt.NDArray[np.float64], point: npt.ArrayLike, modes: Sequence[str]
) -> npt.NDArray[np.float64] | None:
    """A front of distinct points with one more; ``None`` if it would not be on it, or is there."""
    if (front == point).all(axis=1).any():
        return None
    candidates = np.vstack([front, point])
    mask = nondominated(candidates, modes)
    return candidates[mask] if mask[-1] else None


class RunningFront:
    """The points that no other one dominates so far. A point costs as much as the front is long.

    Args:
        modes: m of ``max`` or ``min``.
        reference: (m,), the worst corner of the hypervolume.

    Raises:
        ValueError: a mode is neither, or the reference is not m finite numbers.
    """

    def __init__(self, modes: Sequence[str], reference: Sequence[float]) -> None:
        check_modes(modes)
        check_value("reference", reference, NUMBERS)
        self.points: npt.NDArray[np.float64] = np.empty((0, len(modes)))
        """(k, m), equal ones once."""
        self.hypervolume = hypervolume(self.points, modes, reference)
        """See :func:`snas_tune.front.dominance.hypervolume`; it never falls."""
        self.modes, self.reference = tuple(modes), tuple(reference)

    def add(self, point: Sequence[float]) -> bool:
        """Add a point of m numbers; whether it is on the front and new. One with NaN never is."""
        if np.shape(point) != (len(self.modes),):
            raise ValueError(f"point must be {len(self.modes)} numbers, got {shown(point)}")
        front = joined(self.points, point, self.modes)
        if front is None:
            return False
        self.points = front
        volume = hypervolume(self.points, self.modes, self.reference)
        self.hypervolume = max(self.hypervolume, volume)  # rounding must not make it fall
        return True
