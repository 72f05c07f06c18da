"""Where a trial will end, from how its neighbours moved from each rung to the next."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snas_tune.schedule.history import History, Report

NEIGHBOURS = 5
"""How many neighbours' changes are averaged between two rungs."""

ENOUGH = 3
"""With fewer trials than that between two rungs nothing is predicted."""


def predict(
    history: History, report: Report
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """The costs of a trial at its end.

    To what it reported the mean changes of its nearest neighbours between this rung and the next,
    the next and the one after, and so on to the end are added. A trial that was stopped counts as
    far as it came, so that survivors alone do not decide.

    Returns:
        (m,) expected costs, and (m,) their standard deviation, which is that of the neighbours'
        changes, independent between rungs; ``None`` if too few trials came so far.
    """
    expected = np.asarray(report.costs, dtype=np.float64)
    variance = np.zeros_like(expected)
    for moves in history.moves[report.rung :]:
        if len(moves) < ENOUGH:
            return None
        changes = moves.near(report.niche, expected, history.width, NEIGHBOURS)
        if len(changes) < ENOUGH:
            return None
        expected = expected + changes.mean(axis=0)
        variance = variance + changes.var(axis=0)
    return expected, np.sqrt(variance)
