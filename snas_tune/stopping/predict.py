"""Where trials will end, from how their neighbours moved from each rung to the next."""

from __future__ import annotations

import numpy as np

from snas_tune.stopping.history import Costs, History, Vector

NEIGHBOURS = 5
"""How many neighbours' changes are averaged between two rungs."""

ENOUGH = 3
"""With fewer trials than that between two rungs nothing is predicted."""


def predict(
    history: History, rung: int, niches: Vector, costs: Costs, *, deviation: bool = True
) -> tuple[Costs, Costs] | None:
    """The costs of trials at their end.

    To what a trial reported at a rung the mean changes of its nearest neighbours between this rung
    and the next, the next and the one after, and so on to the end are added. A trial that was
    stopped counts as far as it came, so that survivors alone do not decide.

    Args:
        history: what is known.
        rung: where the trials reported.
        niches: (q,) theirs.
        costs: (q, m) what they reported.
        deviation: whether it is wanted, too; it is 0 otherwise.

    Returns:
        (q, m) expected costs, and (q, m) their standard deviations, which are those of the
        neighbours' changes, independent between rungs; ``None`` if too few trials came so far.
    """
    expected = np.asarray(costs, dtype=np.float64)
    variance = np.zeros_like(expected)
    for moves in history.moves[rung:]:
        count = min(NEIGHBOURS, len(moves))
        if count < ENOUGH:
            return None
        changes = moves.near(niches, expected, history.width, count)
        if changes is None:
            return None
        expected = expected + changes.mean(axis=1)
        if deviation:
            variance = variance + changes.var(axis=1)
    return expected, np.sqrt(variance)
