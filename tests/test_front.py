"""ParetoFront: what it calls the front, budgets, hypervolumes, exports, and its text."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from snas_tune.architecture import Picks, read_architecture
from snas_tune.front import FrontFile, ParetoFront, RunningFront, front_text, read_table
from snas_tune.space.cell.genotype import Cell, Edge, Genotype

OLD = Path(__file__).parent / "data" / "front_v1.parquet"
BASE = read_table(str(OLD)).to_pylist()[0]
NAN = math.nan


def row(accuracy=0.5, flops=1000, trial="a", epoch=1, **changes):
    """A row of the front file; columns that are not given are those of the committed file."""
    given = {"child_accuracy": accuracy, "flops": flops, "trial": trial, "epoch": epoch}
    return {**BASE, **given, **changes}


def points(*pairs):
    """One row for each (accuracy, flops), as epochs of one trial."""
    return [row(accuracy, flops, epoch=i) for i, (accuracy, flops) in enumerate(pairs)]


rows_strategy = st.lists(
    st.builds(
        dict,
        accuracy=st.sampled_from([0.1, 0.5, 0.5, 0.9, 1.0, NAN]),
        flops=st.integers(1, 6),
        params=st.integers(1, 3),
        latency_ms=st.sampled_from([1.0, 2.0, NAN]),
        trial=st.sampled_from(["a", "b", "c"]),
        epoch=st.integers(0, 9),
    ).map(lambda values: row(**values)),
    max_size=25,
    unique_by=lambda r: (r["trial"], r["epoch"]),
)


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
    for row in front.rows:
        running.add((row["child_accuracy"], row["flops"]))
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


# Exports and text


def test_pandas_gets_all_points_and_which_are_on_the_front():
    front = ParetoFront.read(OLD)
    skeleton = front.to_pandas()
    assert list(skeleton.columns) == [*front.table.column_names, "on_front"]
    assert skeleton["on_front"].tolist() == front.mask.tolist()
    assert skeleton["flops"].tolist() == [r["flops"] for r in front.rows]


def test_without_pandas_one_line_says_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # an import of it then fails
    with pytest.raises(ImportError, match=r"^to_pandas needs pandas: pip install pandas$"):
        ParetoFront.read(OLD).to_pandas()


def test_csv_holds_every_value(tmp_path):
    front = ParetoFront.read(OLD)
    path = tmp_path / "front.csv"
    front.to_csv(path)
    front.to_csv(str(path))
    with path.open(newline="") as stream:
        records = list(csv.DictReader(stream))
    assert [p.name for p in tmp_path.iterdir()] == ["front.csv"]
    for record, r, on_front in zip(records, front.rows, front.mask, strict=True):
        assert record.pop("on_front") == str(on_front)
        assert record == {name: "" if x is None else str(x) for name, x in r.items()}


def test_repr_counts_points_trials_and_the_front():
    assert repr(ParetoFront.read(OLD)) == (
        "ParetoFront(4 points of 3 trials, 3 on the front: "
        "child_accuracy 0.5 to 0.9375, flops 6.5e+05 to 7.2e+06)"
    )
    assert repr(ParetoFront.from_rows([])) == "ParetoFront(0 points of 0 trials, 0 on the front)"


def test_the_front_as_text():
    assert ParetoFront.read(OLD).table_text().splitlines() == [
        "acc %: validation top-1 of the child; MFLOPs: millions of multiply-adds of one image",
        "acc %  MFLOPs  params  strength  temperature            epoch  trial  architecture",
        "50.00   0.650    6500         1  constant 1                 2  00002  "
        "N 2 edges: 2xskip | R 2 edges: 2xskip",
        "87.50   2.600   26000      0.03  exponential 1 -> 0.03      2  00001  "
        "N 3 edges: 2xsep3 1xdil5 | R 1 edge: 1xmax3",
        "93.75   7.200   72000     0.001  linear 1 -> 0.03           2  00000  "
        "N 3 edges: 2xsep3 1xdil5 | R 3 edges: 2xsep3 1xdil5",
    ]


def test_temperatures_have_three_digits_and_small_flops_three_decimals():
    schedule = {"temperature_schedule": "exponential"}
    schedule |= {"temperature_start": 0.723824, "temperature_end": 0.0420811}
    large, small = row(flops=31_415_926, **schedule), row(flops=91_650, **schedule)
    assert "  exponential 0.724 -> 0.0421  " in front_text([large])
    assert "  31.42  " in front_text([large])
    lines = front_text([small, large]).splitlines()
    assert ["0.092" in lines[2], "31.416" in lines[3]] == [True, True]
    assert lines[2].index(".092") == lines[3].index(".416")
    constant = front_text([row(temperature_schedule="constant", temperature_start=1 / 3)])
    assert "  constant 0.333  " in constant
    assert "->" not in constant


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 12), st.integers(1, 14))
def test_a_limit_keeps_both_ends_and_counts_the_rest(n, limit):
    rows = [row(0.1 + 0.05 * i, 1000 * (i + 1), trial=f"t{i:02}") for i in range(n)]
    lines = front_text(rows, limit).splitlines()
    if n > limit:
        assert lines[-1] == f"({n - limit} more not shown)"
    body = [line for line in lines[2:] if not line.startswith("(")]
    names = [next(r["trial"] for r in rows if r["trial"] in line) for line in body]
    assert names == sorted(set(names))
    assert len(names) == min(n, limit)
    if n:
        assert names[0] == "t00"
    if n and limit > 1:
        assert names[-1] == f"t{n - 1:02}"


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match=r"^limit must be positive, got 0$"):
        ParetoFront.read(OLD).table_text(limit=0)


def cell(*ops):
    return Cell(1, tuple(Edge(op, 0, 2) for op in ops), (2,))


def test_a_cell_in_short_counts_its_ops():
    normal = cell("skip_connect", *["sep_conv_3x3"] * 3, "skip_connect")
    genotype = Genotype(normal, cell("max_pool_3x3", "dil_conv_5x5"))
    text = "N 5 edges: 3xsep3 2xskip | R 2 edges: 1xdil5 1xmax3"
    assert genotype.summary() == read_architecture(genotype.to_json()).summary() == text


def test_an_unknown_op_is_whole_and_a_cell_without_edges_says_so():
    assert Genotype(cell("my_op"), cell()).summary() == "N 1 edge: 1xmy_op | R 0 edges"


def test_a_text_that_is_no_architecture_is_refused():
    with pytest.raises(ValueError, match=r"^not an architecture in JSON: nonsense"):
        front_text([row(architecture="nonsense")])


def test_architectures_of_any_space_are_shown_in_short():
    picks = Picks("toy", {"kernel": "3", "width": "16"})
    (line,) = front_text([row(architecture=picks.to_json())]).splitlines()[2:]
    assert line.endswith("  kernel 3, width 16")


def test_the_points_of_a_picture_are_the_rows_with_their_place_on_the_front():
    front = ParetoFront.from_rows(points((0.5, 1), (0.4, 2), (0.9, 3)))
    assert [point["on_front"] for point in front.marked()] == [True, False, True]
    bare = [{k: v for k, v in point.items() if k != "on_front"} for point in front.marked()]
    assert repr(bare) == repr(front.rows)


def test_a_store_that_cannot_be_reached_gives_one_line():
    once = fs.AwsStandardS3RetryStrategy(max_attempts=1)
    nobody = fs.S3FileSystem(
        endpoint_override="127.0.0.1:9",
        scheme="http",
        access_key="a",
        secret_key="b",
        retry_strategy=once,
        connect_timeout=1,
    )
    with pytest.raises(ValueError, match=r"^front file bucket/sweep cannot be read: ") as caught:
        ParetoFront.read("bucket/sweep", filesystem=nobody)
    assert "\n" not in str(caught.value)


def test_a_cell_that_is_found_again_with_the_same_numbers_is_shown_once():
    same = [row(trial="a", epoch=epoch, child_accuracy=0.9, flops=5) for epoch in (1, 2, 3)]
    better = row(trial="a", epoch=4, child_accuracy=0.95, flops=5)
    other = row(trial="b", epoch=1, child_accuracy=0.5, flops=1)
    assert [r["epoch"] for r in ParetoFront.from_rows([*same, other]).distinct] == [1, 1]
    assert [r["epoch"] for r in ParetoFront.from_rows([*same, better, other]).distinct] == [1, 4]
    assert len(ParetoFront.from_rows([*same, other]).front) == 4
    assert len(ParetoFront.from_rows([*same, other]).table_text().splitlines()) == 2 + 2
