"""What the history of a sweep knows, against its definitions."""

from __future__ import annotations

import math

import pytest
from histories import COST, dominates, history_of
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.stopping import Report, rung_levels
from snas_tune.stopping.history import nearest


@given(st.lists(st.integers(0, 20).map(float), max_size=20), st.floats(0, 20), st.integers(0, 9))
def test_nearest_are_the_nearest(niches, place, count):
    rows = nearest(sorted(zip(niches, range(len(niches)), strict=True)), place, count)
    distances = sorted(abs(niche - place) for niche in niches)
    last = distances[:count][-1] if count and niches else -1.0
    assert len(set(rows)) == len(rows)
    expected = [distance for distance in distances if distance <= last]
    assert [abs(niches[row] - place) for row in rows] == expected


@given(st.lists(st.tuples(COST, COST), min_size=1, max_size=40))
@settings(max_examples=50)
def test_a_history_knows_its_front_and_the_range_of_each_objective(costs):
    history, _ = history_of(costs)
    front = {c for c in costs if not any(dominates(other, c) for other in costs)}
    assert sorted(map(tuple, history.front.tolist())) == sorted(front)
    assert history.low.tolist() == [min(c[i] for c in costs) for i in (0, 1)]
    assert history.high.tolist() == [max(c[i] for c in costs) for i in (0, 1)]


def test_rungs_lie_at_powers_of_the_factor_and_at_the_end():
    assert rung_levels(3, 3, 27) == (3, 9, 27)
    assert rung_levels(1, 2, 5) == (1, 2, 4, 5)
    assert rung_levels(2, 2.5, 12) == (2, 5, 12)
    assert rung_levels(4, 3, 4) == (4,)
    assert len(rung_levels(1, 1.2, 1.2**99.5)) == 101


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3, 9), "grace_period must be positive, got 0"),
        (("1", 3, 9), "grace_period must be positive, got '1'"),
        ((1, math.inf, 9), "reduction_factor must be above 1.*, got inf"),
        ((1, 3, math.nan), "max_t must be positive, got nan"),
        ((1, 1, 9), "reduction_factor must be above 1, got 1"),
        ((10, 3, 9), "grace_period must be at most max_t, 9, got 10"),
        (
            (1, 1.0000001, 100),
            "reduction_factor must give at most 100 rungs from 1 to 100, got 1.00",
        ),
        ((5e-324, 1.4, 1e308), "reduction_factor must give at most 100 rungs from 4.94066e-324 to"),
        ((1, 10**400, 9), "reduction_factor must be above 1.*, got 1000"),
        ((5e-324, 1.2, 5e-322), "reduction_factor must lead from 5e-324 to a later rung, got 1.2"),
    ],
)
def test_rungs_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        rung_levels(*arguments)


def test_a_history_refuses_what_would_confuse_it():
    history, _ = history_of([(1.0, 2.0)])
    with pytest.raises(ValueError, match="trial must report once at rung 0, got t0"):
        history.add(Report("t0", 0, (1.0, 1.0)))
    with pytest.raises(
        ValueError, match=r"costs must be 2 finite numbers, got \(nan, 1.0\) from x"
    ):
        history.add(Report("x", 0, (math.nan, 1.0)))
