"""The Pareto tab's backend, asked through a real TensorBoard that serves real event files."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from pareto_logs import AXES, points_of, rows_of, serve, write_sweep

from snas_tune.front import ParetoFront
from snas_tune.space.cell.genotype import Genotype


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return folder, write_sweep(folder)


@pytest.fixture(scope="module", params=["fast", "python"])
def served(request, sweep):
    flags = [] if request.param == "fast" else ["--load_fast=false"]
    with serve(sweep[0] / "tensorboard", *flags) as tensorboard:
        yield tensorboard.with_points(len(sweep[1]))


def test_every_child_is_a_point_with_the_numbers_of_the_front_file(served, sweep):
    answer = served.get("points", **AXES)
    assert sorted(points_of(answer)) == sorted(rows_of(sweep[1]))
    # In float32, in which TensorBoard's scalars are, some of these FLOPs would be one.
    assert len({np.float32(x) for x in answer["x"]}) < len(set(answer["x"]))
    assert answer["largest"] == 70_000_000
    assert (answer["without"], answer["example"], answer["not_finite"]) == (1, ["front"], 0)


def test_ties_come_with_fewer_params_first(served, sweep):
    params = {(row["trial"], row["epoch"]): row["params"] for row in sweep[1].rows}
    order = [params[run, step] for run, step, _, _ in points_of(served.get("points", **AXES))]
    assert order == sorted(order)


def test_a_run_has_its_hyperparameters_and_its_sweep(served, sweep):
    front = sweep[1]
    rows = {row["trial"]: row for row in front.rows}
    for run in served.get("points", **AXES)["runs"]:
        row = rows[run["name"]]
        assert run["settings"]["penalty_strength"] == row["penalty_strength"]
        assert run["settings"]["temperature_schedule"] == row["temperature_schedule"]
        assert (run["children"], run["sweep"]) == (True, ".")


def test_the_last_and_the_best_point_of_each_run(served, sweep):
    rows = rows_of(sweep[1])
    last = {run: (run, *rest) for run, *rest in rows}
    answer = served.get("points", **AXES, value="last")
    assert sorted(points_of(answer)) == sorted(last.values())
    for ydir, pick in (("max", max), ("min", min)):
        best = points_of(served.get("points", **AXES, value="best", ydir=ydir))
        for run, _, _, y in best:
            assert y == pick(row[3] for row in rows if row[0] == run)
        assert len(best) == len(last)


def test_nothing_is_sent_again_that_did_not_change(served):
    version = served.get("points", **AXES)["version"]
    assert served.get("points", **AXES, since=version) == {"version": version, "same": True}
    assert "x" in served.get("points", **AXES, since="another")


def test_what_was_not_measured_is_counted_and_not_drawn(served, sweep):
    answer = served.get("points", x="latency_ms", y="child_accuracy")
    assert (answer["x"], answer["not_finite"]) == ([], len(sweep[1]))


def test_scalars_are_listed_with_their_units_and_directions(served, sweep):
    answer = served.get("tags")
    tags = {tag["name"]: tag for tag in answer["tags"]}
    assert answer["objectives"] == [["child_accuracy", "max"], ["flops", "min"]]
    assert tags["flops"] | {"runs": 6} == {
        "name": "flops",
        "runs": 6,
        "unit": "multiply-adds",
        "direction": "min",
        "meaning": "of the child network, for one image",
    }
    assert tags["latency_ms"]["runs"] == 6  # NaN is no scalar, but a column
    assert tags["front_size"] == {"name": "front_size", "runs": 1}


@pytest.mark.parametrize("on_front", [True, False], ids=["all", "some"])
def test_the_export_of_all_points_equals_the_front_file(served, sweep, tmp_path, on_front):
    front = sweep[1]
    rows = list(zip(front.rows, front.mask.tolist(), strict=True))
    if not on_front:
        rows = [pair for pair in rows if pair[0]["epoch"] == 3]
    expected = tmp_path / "front.csv"
    kept = ParetoFront.from_rows([row for row, _ in rows])
    kept.mask = np.array([on for _, on in rows])
    kept.to_csv(expected)
    random.Random(1).shuffle(rows)
    body = {
        **AXES,
        "runs": [row["trial"] for row, _ in rows],
        "format": "csv",
        "xs": [],
        "ys": [],
        "points": [[i, row["epoch"], on] for i, (row, on) in enumerate(rows)],
    }
    assert served.text("export", body) == expected.read_text()
    told = json.loads(served.text("export", {**body, "format": "json"}))
    assert [row["on_front"] for row in told] == kept.mask.tolist()
    assert [row["latency_ms"] for row in told] == [None] * len(rows)
    assert [row["architecture"] for row in told] == [row["architecture"] for row in kept.rows]


def test_an_architecture_is_drawn_and_told(served, sweep):
    row = sweep[1].rows[7]
    genotype = Genotype.from_json(row["architecture"])
    where = {"run": row["trial"], "step": row["epoch"]}
    told = served.get("architecture", **where)
    assert told["json"] == row["architecture"]
    assert told["text"] == genotype.to_text()
    assert told["short"] == genotype.summary()
    assert told["parts"] == [
        [name, [[f"{e.source} → {e.target}", e.op] for e in cell.edges]]
        for name, cell in (("normal", genotype.normal), ("reduction", genotype.reduction))
    ]
    light, dark = (served.text("architecture.svg", **where, dark=dark) for dark in "01")
    assert light.startswith("<svg")
    assert light.count('class="pill"') == len(genotype.normal.edges + genotype.reduction.edges)
    assert light != dark
    part = served.text("architecture.svg", **where, part="reduction")
    assert part.count('class="pill"') == len(genotype.reduction.edges)


def test_a_run_has_its_curves_its_checkpoints_and_where_it_came_from(served, sweep):
    folder, front = sweep
    row = front.rows[-1]
    told = served.get("run", run=row["trial"], tag="params")
    assert (told["trial"], told["experiment"]) == (row["trial"], str(folder))
    assert told["checkpoints"] == {str(row["epoch"]): row["checkpoint"]}
    assert told["steps"] == [1, 2, 3, 4, 5]
    mine = [each for each in front.rows if each["trial"] == row["trial"]]
    assert told["curves"]["flops"] == [[r["epoch"], np.float32(r["flops"])] for r in mine]
    assert "params" in told["curves"]


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("points", {"x": "flops"}, "y must be given"),
        ("points", {**AXES, "value": "mean"}, "value must be one of all, last, best, got 'mean'"),
        ("architecture", {"run": "front", "step": 1}, "run front logged no architecture at step 1"),
        ("architecture", {"run": "front", "step": "one"}, "invalid literal for int"),
        (
            "architecture.svg",
            {"run": "RUN", "step": 1, "part": "big"},
            "part must be one of normal, reduction, got 'big'",
        ),
        ("export", {}, "export must be asked for with POST, got GET"),
    ],
)
def test_a_wrong_question_gets_one_line(served, sweep, path, query, error):
    if query.get("run") == "RUN":
        query = {**query, "run": sweep[1].rows[0]["trial"]}
    assert error in served.get(path, **query)["error"]


def test_only_files_of_the_page_are_served(served):
    assert "export async function render" in served.text("static/index.js")
    for path in ("static/../loader.py", "static/%2e%2e/loader.py", "static/", "static/none.js"):
        assert "Loader" not in served.text(path)


def test_an_export_of_a_run_without_children_is_its_scalars_and_settings(served, sweep):
    body = {
        "x": "expected_flops",
        "y": "hypervolume",
        "runs": ["front"],
        "format": "csv",
        "points": [[0, 3, True]],
        "xs": [1.5],
        "ys": [2],
    }
    lines = served.text("export", body).splitlines()
    assert lines == ["run,step,expected_flops,hypervolume,on_front", "front,3,1.5,2,True"]


def test_children_that_are_not_there_cannot_be_exported(served, sweep):
    body = {
        **AXES,
        "runs": [sweep[1].rows[0]["trial"]],
        "format": "csv",
        "points": [[0, 99, True]],
        "xs": [1],
        "ys": [1],
    }
    assert "no such data: 99" in json.loads(served.text("export", body))["error"]
