"""Dominance, ranks and hypervolume against their definitions, and moocore's hypervolume."""

from __future__ import annotations

import itertools
import math
import re
import time

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.front import RunningFront
from snas_tune.front.dominance import hypervolume, nondominated, nondominated_rank

NAN, INF = math.nan, math.inf


def dominates(p, q, modes):
    """The definition, which NaN never meets and never fails."""
    if any(math.isnan(x) for x in (*p, *q)):
        return False
    signed = [(x, y) if mode == "min" else (-x, -y) for x, y, mode in zip(p, q, modes, strict=True)]
    return all(x <= y for x, y in signed) and any(x < y for x, y in signed)


def brute_front(points, modes):
    return [
        not any(math.isnan(x) for x in q) and not any(dominates(p, q, modes) for p in points)
        for q in points
    ]


def brute_ranks(points, modes):
    ranks, rank = [None] * len(points), 0
    known = [i for i, p in enumerate(points) if not any(math.isnan(x) for x in p)]
    left = known
    while left:
        front = [i for i in left if not any(dominates(points[j], points[i], modes) for j in left)]
        for i in front:
            ranks[i] = rank
        left = [i for i in left if i not in front]
        rank += 1
    return [max(1, rank) if r is None else r for r in ranks]


def brute_volume(points, modes, reference):
    """Inclusion-exclusion over the boxes between each point and the reference."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for subset in itertools.combinations(points, size):
            sides = []
            for k, mode in enumerate(modes):
                column = [p[k] for p in subset]
                side = min(column) - reference[k] if mode == "max" else reference[k] - max(column)
                sides.append(max(0.0, side))
            total -= (-1) ** size * math.prod(sides)
    return total


@st.composite
def fronts(draw, objectives=(1, 4), values=None, size=14):
    """Points on a small grid, so that ties and equal coordinates are common."""
    m = draw(st.integers(*objectives))
    modes = draw(st.lists(st.sampled_from(["max", "min"]), min_size=m, max_size=m))
    value = st.sampled_from(values if values else [0.0, 1.0, 2.0, 3.0, 4.0, NAN, INF, -INF])
    row = st.lists(value, min_size=m, max_size=m)
    points = draw(st.lists(row, max_size=size))
    return np.array(points, dtype=float).reshape(len(points), m), modes


@settings(deadline=None, max_examples=400)
@given(fronts())
def test_the_front_is_what_no_other_point_dominates(case):
    points, modes = case
    mask = nondominated(points, modes)
    assert mask.dtype == np.bool_
    assert mask.tolist() == brute_front(points.tolist(), modes)


@settings(deadline=None, max_examples=400)
@given(fronts())
def test_ranks_are_fronts_peeled_off_one_by_one(case):
    points, modes = case
    assert nondominated_rank(points, modes).tolist() == brute_ranks(points.tolist(), modes)


@settings(deadline=None, max_examples=100)
@given(fronts(), st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(case, random):
    points, modes = case
    order = list(range(len(points)))
    random.shuffle(order)
    assert (nondominated(points[order], modes) == nondominated(points, modes)[order]).all()


def test_a_row_with_nan_is_never_on_the_front_and_dominates_nothing():
    points = [[NAN, 0.0], [9.0, NAN], [1.0, 5.0]]
    assert nondominated(points, ["max", "min"]).tolist() == [False, False, True]
    assert nondominated_rank(points, ["max", "min"]).tolist() == [1, 1, 0]
    assert nondominated_rank([[NAN, NAN]], ["max", "min"]).tolist() == [1]


def test_equal_points_are_all_kept_and_all_dropped():
    points = [[1.0, 5.0], [1.0, 5.0], [0.5, 6.0], [0.5, 6.0]]
    assert nondominated(points, ["max", "min"]).tolist() == [True, True, False, False]
    assert nondominated_rank(points, ["max", "min"]).tolist() == [0, 0, 1, 1]


def test_infinities_are_numbers_like_others():
    points = [[0.9, INF], [0.8, INF], [INF, 3.0], [-INF, -INF]]
    assert nondominated(points, ["max", "min"]).tolist() == [False, False, True, True]


def test_no_points_have_an_empty_front_and_no_volume():
    empty = np.empty((0, 2))
    assert nondominated(empty, ["max", "min"]).shape == (0,)
    assert nondominated_rank(empty, ["max", "min"]).shape == (0,)
    assert hypervolume(empty, ["max", "min"], [0, 1]) == 0


def test_a_hundred_thousand_points_take_well_under_a_second():
    points = np.random.default_rng(0).random((100_000, 2))
    start = time.process_time()
    mask = nondominated(points, ["max", "min"])
    assert time.process_time() - start < 0.8
    chain = np.stack([np.arange(100_000.0), np.arange(100_000.0)], axis=1)
    start = time.process_time()
    assert nondominated(chain, ["max", "min"]).all()  # all of them on the front
    assert time.process_time() - start < 0.8
    assert 0 < mask.sum() < 100


@pytest.mark.parametrize("modes", [("max", "min"), ("min", "min")])
def test_ten_thousand_points_are_ranked_quickly_however_many_fronts_they_have(modes):
    line = np.arange(10_000.0)
    start = time.process_time()
    ranks = nondominated_rank(np.stack([line, line], axis=1), modes)
    assert time.process_time() - start < 1
    assert ranks.tolist() == ([0] * 10_000 if modes[0] == "max" else list(range(10_000)))


@settings(deadline=None, max_examples=100)
@given(fronts(objectives=(2, 4), values=[0.0, 1.0, 2.0, 2.5, 4.0, 7.0], size=7), st.data())
def test_hypervolume_is_the_union_of_the_boxes(case, data):
    points, modes = case
    m = points.shape[1]
    reference = data.draw(st.lists(st.sampled_from([0.0, 2.0, 5.0]), min_size=m, max_size=m))
    expected = brute_volume(points.tolist(), modes, reference)
    assert hypervolume(points, modes, reference) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 4), st.integers(1, 25), st.integers(0, 2**32 - 1), st.booleans())
def test_hypervolume_is_that_of_moocore(m, n, seed, coarse):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 6, (n, m)).astype(float) if coarse else rng.normal(size=(n, m))
    maximise = rng.random(m) < 0.5
    reference = rng.normal(size=m) + np.where(maximise, -1, 1)
    expected = moocore.hypervolume(points, reference, maximise=maximise.tolist())
    modes = ["max" if flag else "min" for flag in maximise]
    assert hypervolume(points, modes, reference) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_a_staircase_has_its_closed_form(n):
    steps = np.arange(n, dtype=float)
    # Step i spans the columns above i and the i + 1 lowest rows: the sum of 1 to n.
    points = np.stack([steps + 1, steps], axis=1)
    assert hypervolume(points, ["max", "min"], [0, n]) == n * n - n * (n - 1) // 2


@pytest.mark.parametrize("m", [3, 4])
def test_a_cube_less_a_corner_has_its_closed_form(m):
    points = 2.0 - np.eye(m)  # unit boxes of 1 x 2 x ... that share the unit cube
    expected = brute_volume(points.tolist(), ["max"] * m, [0.0] * m)
    assert hypervolume(points, ["max"] * m, [0] * m) == expected
    assert hypervolume([[2.0] * m], ["max"] * m, [0] * m) == 2**m


def test_three_objectives_agree_with_a_monte_carlo_estimate():
    rng = np.random.default_rng(1)
    points = rng.random((30, 3))
    samples = rng.random((20_000, 3))
    hit = (points[None] <= samples[:, None]).all(axis=2).any(axis=1).mean()
    volume = hypervolume(points, ["min"] * 3, [1, 1, 1])
    assert volume == pytest.approx(hit, abs=5 * math.sqrt(0.25 / 20_000))


@settings(deadline=None, max_examples=100)
@given(fronts(objectives=(2, 3), values=[0.0, 1.0, 2.0, 3.0]))
def test_only_the_front_counts_and_a_further_point_never_takes_volume_away(case):
    points, modes = case
    reference = [-1.0 if mode == "max" else 4.0 for mode in modes]
    whole = hypervolume(points, modes, reference)
    assert hypervolume(points[nondominated(points, modes)], modes, reference) == whole
    assert hypervolume(points[:-1], modes, reference) <= whole


def test_points_beyond_the_reference_and_nan_rows_contribute_nothing():
    inside = [[0.5, 3.0]]
    outside = [[0.9, 10.0], [0.9, 11.0], [0.0, 1.0], [NAN, 1.0], [0.9, NAN], [-INF, 1], [0.9, INF]]
    modes, reference = ["max", "min"], [0.0, 10.0]
    assert hypervolume(outside, modes, reference) == 0
    assert hypervolume(inside + outside, modes, reference) == 3.5


def test_an_infinitely_good_point_has_infinite_volume_only_inside_the_reference():
    assert hypervolume([[INF, 3.0]], ["max", "min"], [0.0, 10.0]) == INF
    assert hypervolume([[INF, 10.0]], ["max", "min"], [0.0, 10.0]) == 0


@pytest.mark.parametrize("modes", ["max", None, 5, {"max"}])
def test_modes_that_are_no_list_are_refused(modes):
    message = rf"^modes must be a list, got {re.escape(repr(modes))}$"
    for function in (nondominated, nondominated_rank, lambda p, m: hypervolume(p, m, [0, 0])):
        with pytest.raises(ValueError, match=message):
            function([[1, 2]], modes)
    with pytest.raises(ValueError, match=message):
        RunningFront(modes, [0, 0])
    with pytest.raises(ValueError, match=r"^mode of an objective must be max or min, got 'up'"):
        RunningFront(["max", "up"], [0, 0])


def test_arguments_that_do_not_fit_are_refused():
    for function in (nondominated, nondominated_rank):
        with pytest.raises(ValueError, match=r"^mode of an objective must be max or min, got 'up'"):
            function([[1, 2]], ["max", "up"])
        for points, modes in (([[1, 2, 3]], ["max", "min"]), ([1, 2], ["max", "min"]), ([[]], [])):
            with pytest.raises(ValueError, match=r"^points must have one row a point and one col"):
                function(points, modes)
    for reference in ([1.0], [1.0, NAN], [1.0, INF], 3.0):
        with pytest.raises(ValueError, match=r"^reference must be 2 finite numbers, got "):
            hypervolume([[1, 2]], ["max", "min"], reference)


@given(fronts(objectives=(2, 3), values=[0.0, 1.0, 2.0, 3.0, NAN]))
def test_a_running_front_is_that_of_all_points_so_far(case):
    points, modes = case
    reference = [4.0 if mode == "min" else -1.0 for mode in modes]
    running = RunningFront(modes, reference)
    for i, point in enumerate(points):
        before = {tuple(p) for p in running.points.tolist()}
        new = running.add(point)
        seen = np.array(points[: i + 1], dtype=float)
        front = {tuple(p) for p in seen[nondominated(seen, modes)].tolist()}
        assert {tuple(p) for p in running.points.tolist()} == front
        assert len(running.points) == len(front)
        assert new == (tuple(point) in front - before)
        assert running.hypervolume == pytest.approx(hypervolume(seen, modes, reference))
