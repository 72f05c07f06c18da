"""Prediction of a trial's end, from its neighbours' changes from each rung to the next."""

from __future__ import annotations

import numpy as np

from snas_tune.stopping.history import Costs, History, Vector

NEIGHBOURS = 5
"""Neighbours whose changes between two rungs are averaged."""

ENOUGH = 3
"""Trials, at least, that must have passed two rungs for a prediction between these."""


def predict(
    history: History, rung: int, niches: Vector, costs: Costs, *, deviation: bool = True
) -> tuple[Costs, Costs] | None:
    """The costs of trials at their end, as shares of the range of each objective so far.

    The prediction is the trial's report plus, for each later rung, the mean change of its nearest
    neighbours from the rung before. A stopped trial counts as far as it came, so that survivors
    alone do not decide.

    Args:
        history: of the sweep.
        rung: where the trials reported.
        niches: (q,) of these trials.
        costs: (q, m) their reports.
        deviation: compute the standard deviations, too; else they are 0.

    Returns:
        (q, m) expected costs as shares of the range (:meth:`History.normalised`), and (q, m) their
        standard deviations, from the neighbours' changes, taken as independent between rungs;
        ``None`` if too few trials came so far.
    """
    expected = history.normalised(costs)
    variance = np.zeros_like(expected)
    for moves in history.moves[rung:]:
        count = min(NEIGHBOURS, len(moves))
        if count < ENOUGH:
            return None
        changes = moves.near(niches, expected, history.normalised, count)
        if changes is None:
            return None
        expected = expected + changes.mean(axis=1)
        if deviation:
            variance = variance + changes.var(axis=1)
    return expected, np.sqrt(variance)
