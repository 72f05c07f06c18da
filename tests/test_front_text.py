"""What a front exports, and how it looks in a terminal."""

from __future__ import annotations

import csv
import sys

import pytest
from front_points import OLD, points, row
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from snas_tune.architecture import Picks, read_architecture
from snas_tune.front import ParetoFront, front_text
from snas_tune.space.cell.genotype import Cell, Edge, Genotype

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
    with pytest.raises(ValueError, match=r"^limit must be a positive whole number, got 0$"):
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
