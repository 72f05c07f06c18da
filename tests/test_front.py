"""ParetoFront: what it calls the front, budgets, hypervolumes, exports, and its text."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from front_points import NAN, OLD, points, row, rows_strategy
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from snas_tune.front import FrontFile, ParetoFront, RunningFront

# The front


@settings(deadline=None, max_examples=100)
@given(rows_strategy)
def test_the_front_holds_the_rows_that_no_row_beats_the_cheapest_first(rows):
    front = ParetoFront.from_rows(rows)
    expected = [
        r
        for r in rows
        if not math.isnan(r["child_accuracy"])
        and not any(
            q["child_accuracy"] >= r["child_accuracy"]
            and q["flops"] <= r["flops"]
            and (q["child_accuracy"], q["flops"]) != (r["child_accuracy"], r["flops"])
            for q in rows
        )
    ]
    expected.sort(key=lambda r: (r["flops"], r["trial"], r["epoch"]))
    assert repr(front.front) == repr(expected)  # in which NaN equals itself
    assert len(front) == len(front.rows) == len(front.mask) == len(rows)
    on_front = [r for r, kept in zip(front.rows, front.mask, strict=True) if kept]
    assert sorted(map(repr, on_front)) == sorted(map(repr, expected))


def test_ties_are_all_on_the_front():
    front = ParetoFront.from_rows(points((0.5, 10), (0.5, 10), (0.4, 11)))
    assert [r["epoch"] for r in front.front] == [0, 1]


def test_other_objectives_give_another_front():
    rows = [row(0.9, 100, epoch=0, latency_ms=5.0), row(0.8, 200, epoch=1, latency_ms=2.0)]
    rows += [row(0.99, 50, epoch=2, latency_ms=NAN)]
    assert [r["epoch"] for r in ParetoFront.from_rows(rows).front] == [2]
    timed = ParetoFront.from_rows(rows, (("child_accuracy", "max"), ("latency_ms", "min")))
    assert [r["epoch"] for r in timed.front] == [1, 0]
    assert timed.default_reference() == (0.0, 5.0)
    assert timed.hypervolume() == pytest.approx(0.8 * 3)
    three = (("child_accuracy", "max"), ("flops", "min"), ("latency_ms", "min"))
    assert [r["epoch"] for r in ParetoFront.from_rows(rows, three).front] == [1, 0]


def test_a_last_objective_that_is_maximised_is_sorted_from_its_best():
    rows = points((0.5, 10), (0.9, 20))
    front = ParetoFront.from_rows(rows, (("flops", "min"), ("child_accuracy", "max")))
    assert [r["flops"] for r in front.front] == [20, 10]


def test_objectives_that_are_no_numeric_columns_are_refused():
    for name in ("speed", "architecture", "trial"):
        with pytest.raises(
            ValueError, match=f"^objective must be a numeric column of the front, got '{name}'$"
        ):
            ParetoFront.from_rows([], (("child_accuracy", "max"), (name, "min")))
    with pytest.raises(ValueError, match=r"^objectives must be two or more, got \[\('flops', 'mi"):
        ParetoFront.from_rows([], (("flops", "min"),))
    with pytest.raises(ValueError, match=r"^mode of an objective must be max or min, got 'up'$"):
        ParetoFront.from_rows([], (("flops", "min"), ("accuracy", "up")))
    same = {"child_accuracy": "max", "flops": "min"}
    assert ParetoFront.from_rows([], same).objectives == tuple(same.items())


def test_a_table_of_other_columns_is_refused():
    with pytest.raises(ValueError, match=r"^column trial must be there, got none$"):
        ParetoFront(pa.table({"flops": [1]}))


# Reading


def test_a_front_is_read_from_a_file_a_directory_and_uris_of_both(tmp_path):
    FrontFile(str(tmp_path / "front.parquet")).add(points((0.5, 10), (0.4, 11)))
    file = tmp_path / "front.parquet"
    for path in (file, tmp_path, str(file), str(tmp_path), f"file://{file}", f"file://{tmp_path}"):
        assert [r["flops"] for r in ParetoFront.read(path).front] == [10]
    store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    assert len(ParetoFront.read("front.parquet", filesystem=store)) == 2
    latency = (("child_accuracy", "max"), ("latency_ms", "min"))
    assert ParetoFront.read(tmp_path, latency).objectives == latency
    assert ParetoFront.read(file, latency).objectives == latency


def test_a_path_without_a_front_is_named(tmp_path):
    for path, named in ((tmp_path, tmp_path / "front.parquet"), (tmp_path / "x", tmp_path / "x")):
        with pytest.raises(ValueError, match=f"^front file {named} must be a file, got none there"):
            ParetoFront.read(path)


def test_the_committed_front_has_every_row_on_it_but_the_dominated_one():
    front = ParetoFront.read(OLD)
    assert [r["flops"] for r in front.front] == [650_000, 2_600_000, 7_200_000]
    assert front.mask.tolist() == [False, True, True, True]


# Hypervolume


def test_hypervolume_is_a_staircase_up_to_the_most_expensive_point():
    front = ParetoFront.from_rows(points((0.25, 10), (0.5, 20), (0.75, 40), (NAN, 80)))
    assert front.default_reference() == (0.0, 80.0)
    assert front.hypervolume() == 0.25 * 10 + 0.5 * 20 + 0.75 * 40
    assert front.hypervolume(normalised=True) == front.hypervolume() / 80
    assert front.hypervolume((0.0, 40.0)) == 0.25 * 10 + 0.5 * 20
    assert front.hypervolume((0.5, 80.0), normalised=True) == (0.25 * 40) / (0.5 * 80)


def test_the_normalised_hypervolume_of_a_perfect_free_point_is_one():
    front = ParetoFront.from_rows(points((1.0, 0), (0.5, 7)))
    assert front.hypervolume(normalised=True) == 1.0


def test_fronts_without_points_or_cost_have_no_volume():
    for rows in ([], points((NAN, 5)), points((0.5, 5)), points((0.5, 0))):
        front = ParetoFront.from_rows(rows)
        assert front.hypervolume() == front.hypervolume(normalised=True) == 0
    with pytest.raises(ValueError, match=r"^reference must be 2 finite numbers, got \[1.0\]$"):
        ParetoFront.from_rows([]).hypervolume([1.0])


@settings(deadline=None, max_examples=60)
@given(rows_strategy, st.sampled_from([None, (0.3, 5.0)]))
def test_the_trace_is_the_hypervolume_of_each_beginning_of_the_table(rows, reference):
    front = ParetoFront.from_rows(rows)
    corner = reference or front.default_reference()
    expected = [
        ParetoFront.from_rows(front.rows[: i + 1]).hypervolume(corner) for i in range(len(rows))
    ]
    running, trace = RunningFront(["max", "min"], corner), []
    for each in front.rows:
        running.add((each["child_accuracy"], each["flops"]))
        trace.append(running.hypervolume)
    np.testing.assert_allclose(trace, expected, rtol=1e-12, atol=1e-12)
    assert (np.diff(trace) >= 0).all()
    if rows:
        assert trace[-1] == pytest.approx(front.hypervolume(reference))


# Budgets


@settings(deadline=None, max_examples=150)
@given(
    rows_strategy,
    st.fixed_dictionaries(
        {},
        optional={
            "max_flops": st.integers(0, 7),
            "max_params": st.sampled_from([1, 2.5]),
            "max_latency_ms": st.sampled_from([1.0, 1.5, 2.0]),
            "min_accuracy": st.sampled_from([0.0, 0.5, 0.95]),
            "max_child_accuracy": st.sampled_from([0.5, 0.9]),
            "min_epoch": st.integers(0, 9),
        },
    ),
)
def test_best_is_the_most_accurate_row_within_the_bounds(rows, bounds):
    def admissible(r):
        values = {**r, "accuracy": r["child_accuracy"]}
        checks = [
            values[name[4:]] <= bound if name.startswith("max") else values[name[4:]] >= bound
            for name, bound in bounds.items()
        ]
        return all(checks) and not math.isnan(r["child_accuracy"])

    def order(r):
        return (-r["child_accuracy"], r["flops"], r["params"], r["trial"], r["epoch"])

    front = ParetoFront.from_rows(rows)
    expected = min(filter(admissible, rows), key=order, default=None)
    if expected is None:
        with pytest.raises(ValueError, match=r"^no point has "):
            front.best(**bounds)
    else:
        assert repr(sorted(front.best(**bounds).items())) == repr(sorted(expected.items()))


def test_best_without_an_answer_says_what_there_is():
    rows = points((0.25, 41_000_000), (0.75, 50_000_000), (NAN, 1))
    rows = [{**r, "latency_ms": NAN} for r in rows]
    front = ParetoFront.from_rows(rows)
    for bounds, message in (
        (
            {"min_accuracy": 0.9, "max_flops": 30e6},
            "no point has child_accuracy >= 0.9 and flops <= 30000000; "
            "the cheapest has child_accuracy 0.25 and flops 41000000",
        ),
        ({"min_accuracy": 0.9}, "no point has child_accuracy >= 0.9; the highest has child_a"),
        ({"min_accuracy": 0.9}, "child_accuracy >= 0.9; the highest has child_accuracy 0.75"),
        ({"max_latency_ms": 3}, "no point has latency_ms <= 3; latency_ms is NaN in all of them"),
    ):
        with pytest.raises(ValueError, match=r"^no point has ") as caught:
            front.best(**bounds)
        assert message in str(caught.value)
    with pytest.raises(ValueError, match=r"^no point has flops <= 3; there are 0 points$"):
        ParetoFront.from_rows([]).best(max_flops=3)
    with pytest.raises(ValueError, match=r"^no point has a child accuracy; there are 1 points$"):
        ParetoFront.from_rows([row(NAN)]).best()


def test_bounds_that_are_none_are_refused():
    front = ParetoFront.from_rows([row()])
    for name in ("flops", "max_speed", "maxflops", "max_trial", "most_flops"):
        with pytest.raises(
            ValueError, match=f"^bound must be max_ or min_ and a numeric column .*, got '{name}'$"
        ):
            front.best(**{name: 1})
    with pytest.raises(ValueError, match=r"^bound max_flops must be a number, got nan$"):
        front.best(max_flops=NAN)
