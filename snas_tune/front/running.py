"""The front of points that come one by one, and its hypervolume as they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from snas_tune.front.pareto import hypervolume, nondominated


class RunningFront:
    """The points that no other one dominates so far. A point costs as much as the front is long.

    Args:
        modes: m of ``max`` or ``min``.
        reference: (m,), the worst corner of the hypervolume.
    """

    def __init__(self, modes: Sequence[str], reference: Sequence[float]) -> None:
        self.modes = tuple(modes)
        self.reference = tuple(reference)
        self.points: npt.NDArray[np.float64] = np.empty((0, len(self.modes)))
        """(k, m), equal ones once."""
        self.hypervolume = hypervolume(self.points, self.modes, self.reference)
        """See :func:`snas_tune.front.pareto.hypervolume`; it never falls."""

    def add(self, point: Sequence[float]) -> bool:
        """Add a point of m numbers; whether it is on the front and new. One with NaN never is."""
        if (self.points == point).all(axis=1).any():
            return False
        candidates = np.vstack([self.points, point])
        mask = nondominated(candidates, self.modes)
        if not mask[-1]:
            return False
        self.points = candidates[mask]
        volume = hypervolume(self.points, self.modes, self.reference)
        self.hypervolume = max(self.hypervolume, volume)  # rounding must not make it fall
        return True
