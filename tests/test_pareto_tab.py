"""The Pareto tab's backend, asked through a real TensorBoard that serves real event files."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from pareto_logs import serve, some_report, write_sweep
from tensorboard.plugins.hparams import summary_v2
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from snas_tune.config import SearchConfig
from snas_tune.events import FORMAT, ChildrenForm
from snas_tune.front import ParetoFront
from snas_tune.plugin.loader import Loader
from snas_tune.plugin.rows import sweep_of
from snas_tune.space.cell.genotype import Genotype
from snas_tune.space.cell.summary import short_cell
from snas_tune.tensorboard_log import SweepLog
from snas_tune.tensorboard_log.children import FORM

AXES = {"x": "flops", "y": "child_accuracy"}


def points_of(answer):
    """(run, step, x, y) of every point."""
    names = [answer["runs"][i]["name"] for i in answer["run"]]
    return list(zip(names, answer["step"], answer["x"], answer["y"], strict=True))


def rows_of(front: ParetoFront, prefix: str = ""):
    return [
        (f"{prefix}{row['trial']}", row["epoch"], row["flops"], row["child_accuracy"])
        for row in front.rows
    ]


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
        assert (run["cells"], run["sweep"]) == (True, ".")


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
    assert [row["genotype"] for row in told] == [row["genotype"] for row in kept.rows]


def test_a_cell_is_drawn_and_told(served, sweep):
    row = sweep[1].rows[7]
    genotype = Genotype.from_json(row["genotype"])
    where = {"run": row["trial"], "step": row["epoch"]}
    told = served.get("cell", **where)
    assert told["json"] == row["genotype"]
    assert told["text"] == genotype.to_text()
    assert told["short"] == short_cell(genotype)
    assert told["cells"]["reduction"] == [
        [e.source, e.target, e.op] for e in genotype.reduction.edges
    ]
    light, dark = (served.text("cell.svg", **where, dark=dark) for dark in "01")
    assert light.startswith("<svg")
    assert light.count('class="pill"') == sum(
        len(cell.edges) for cell in (genotype.normal, genotype.reduction)
    )
    assert light != dark


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
        ("cell", {"run": "front", "step": 1}, "run front logged no cell at step 1"),
        ("cell", {"run": "front", "step": "one"}, "invalid literal for int"),
        ("cell.svg", {"run": "RUN", "step": 1, "cell": "big"}, "must be one of normal, reduction"),
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


def one_trial(log: SweepLog, name: str, reports) -> None:
    log.start_trial(name, SearchConfig(penalty_strength=1.0).to_dict())
    for report in reports:
        log.add_result(name, report)


@pytest.mark.parametrize("flags", [[], ["--load_fast=false"]], ids=["fast", "python"])
def test_all_samples_are_kept_and_the_later_of_two_with_the_same_step(tmp_path, flags):
    generator = np.random.default_rng(0)
    log = SweepLog(tmp_path)
    first = [some_report(generator, epoch, 1.0) for epoch in range(1, 301)]
    one_trial(log, "long", first)
    log.close()
    again = [some_report(generator, epoch, 1.0) for epoch in range(298, 303)]
    log = SweepLog(tmp_path)  # as after a crash: from an older checkpoint, into a file of its own
    one_trial(log, "long", again)
    log.close()
    with serve(tmp_path, *flags) as tensorboard:
        tensorboard.with_points(302)
        answer = tensorboard.get("points", **AXES)
        accuracy = dict(zip(answer["step"], answer["y"], strict=True))
        for report in (*first[:297], *again):
            assert accuracy[report["epoch"]] == report["child_accuracy"]
        told = tensorboard.get("cell", run="long", step=299)
        assert told["json"] == again[1]["genotype"]


def test_files_of_a_run_are_read_in_the_order_in_which_they_were_opened(tmp_path):
    """Which is that of their names. TensorBoard drops what a file says of the steps after the first
    one of the next file."""
    report = some_report(np.random.default_rng(0), 1, 1.0)
    seen = []
    for _ in range(12):  # more than nine, some of them within one second
        log = SweepLog(tmp_path)
        one_trial(log, "again", [report])
        log.close()
        (new,) = {file.name for file in (tmp_path / "again").iterdir()} - set(seen)
        seen.append(new)
    assert seen == sorted(seen)


def test_any_scalars_of_any_runs_are_points(tmp_path):
    for i in range(3):
        with SummaryWriter(str(tmp_path / f"sweep{i % 2}" / f"run{i}")) as writer:
            for step in range(4):
                writer.add_scalar("loss", 1 / (1 + step) + i, step)
                if step != 2:
                    writer.add_scalar("size", float("nan") if i == step == 1 else 10 * i, step)
            hparams = summary_v2.hparams_pb({"lr": 0.5 * i, "name": "<b>x</b>"}, trial_id=f"{i}")
            writer.file_writer.add_summary(Summary.FromString(hparams.SerializeToString()))
    with SummaryWriter(str(tmp_path / "other")) as writer:
        writer.add_scalar("loss", 1.0, 0)
    (tmp_path / "sweep0" / "run0" / "events.out.tfevents.9").write_bytes(b"\x18\0\0\0half")
    with serve(tmp_path) as tensorboard:
        ask = {"x": "size", "y": "loss"}
        tensorboard.with_points(8, **ask)
        answer = tensorboard.get("points", **ask)
        assert sorted(points_of(answer))[:3] == [
            ("sweep0/run0", 0, 0, 1),
            ("sweep0/run0", 1, 0, 0.5),
            ("sweep0/run0", 3, 0, 0.25),
        ]
        assert [run["sweep"] for run in answer["runs"]] == ["sweep0", "sweep0", "sweep1"]
        assert answer["runs"][1]["settings"] == {"lr": 1.0, "name": "<b>x</b>"}
        assert (answer["not_finite"], answer["example"], answer["largest"]) == (1, ["other"], None)
        assert tensorboard.get("tags")["objectives"] == []
        last = points_of(tensorboard.get("points", **ask, value="last"))
        assert [step for _, step, _, _ in last] == [3, 3, 3]


def test_what_a_newer_version_wrote_is_said_and_the_rest_is_shown(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    log = SweepLog(tmp_path)
    report = some_report(generator, 1, 1.0)
    newer = json.dumps({**json.loads(report["genotype"]), "format": 99})
    one_trial(log, "cell", [{**report, "genotype": newer}])
    form = json.loads(FORM.to_json())
    monkeypatch.setattr(
        ChildrenForm, "to_json", lambda self: json.dumps({**form, "format": FORMAT + 1}).encode()
    )
    one_trial(log, "form", [report])
    log.close()
    with serve(tmp_path) as tensorboard:
        tensorboard.wait(lambda s: len(s.get("points", **AXES)["runs"]) == 2)
        assert tensorboard.get("tags")["newer"] is True
        answer = tensorboard.get("points", **AXES)
        # The newer form's numbers are not guessed at: its run has TensorBoard's scalars.
        assert {run["name"]: run["cells"] for run in answer["runs"]} == {
            "cell": True,
            "form": False,
        }
        error = tensorboard.get("cell", run="cell", step=1)["error"]
        assert "genotype format must be 1, got 99" in error


def test_an_empty_log_directory_has_no_points(tmp_path):
    with serve(tmp_path) as tensorboard:
        assert tensorboard.get("tags")["tags"] == []
        answer = tensorboard.get("points", **AXES)
        assert (answer["runs"], answer["x"], answer["without"]) == ([], [], 0)


def unimportable(folder: Path) -> dict[str, str]:
    """An environment in which importing ray or torch fails."""
    for name in ("ray", "torch"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('not here')\n")
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_the_tab_works_where_ray_and_torch_cannot_be_imported(sweep, tmp_path):
    environment = unimportable(tmp_path)
    with serve(sweep[0] / "tensorboard", environment=environment) as tensorboard:
        tensorboard.with_points(len(sweep[1]))
        row = sweep[1].rows[0]
        assert "<svg" in tensorboard.text("cell.svg", run=row["trial"], step=row["epoch"])


def test_the_loader_keeps_all_samples_unless_told_otherwise():
    flags = Namespace(samples_per_plugin={"images": 3})
    Loader().fix_flags(flags)
    assert flags.samples_per_plugin == {"images": 3, "pareto": 0}
    flags = Namespace(samples_per_plugin={"pareto": 5})
    Loader().fix_flags(flags)
    assert flags.samples_per_plugin == {"pareto": 5}
    Loader().fix_flags(Namespace())


def test_the_axes_can_be_given_on_the_command_line(sweep):
    with serve(sweep[0] / "tensorboard", "--pareto_x", "params", "--pareto_y", "accuracy") as other:
        answer = other.get("tags")
        assert (answer["x"], answer["y"]) == ("params", "accuracy")


@pytest.mark.parametrize(
    ("run", "sweep"),
    [
        ("a", "."),
        ("x/a", "x"),
        ("x/tensorboard/a", "x"),
        ("tensorboard/a", "."),
        (".", "."),
        ("u/v/tensorboard/a", "u/v"),
    ],
)
def test_the_sweep_of_a_run_is_its_folder(run, sweep):
    assert sweep_of(run) == sweep


def test_the_form_of_children_comes_back():
    assert ChildrenForm.from_json(FORM.to_json()) == FORM


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": 1}',
        b"\xff",
        FORM.to_json().replace(b'"multiply-adds"', b"7"),
        FORM.to_json().replace(b'"max"', b'"a","b"'),
    ],
)
def test_what_is_no_form_of_children_is_refused(content):
    with pytest.raises(ValueError, match=r"."):
        ChildrenForm.from_json(content)


def test_tensorboard_finds_the_tab_in_a_fresh_process():
    from importlib.metadata import entry_points

    assert "snas_tune.plugin.loader:Loader" in {
        entry.value for entry in entry_points(group="tensorboard_plugins")
    }


def front_log(*arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snas_tune", "log", *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


def test_a_front_file_becomes_a_log_with_the_same_rows(sweep, tmp_path):
    folder, front = sweep
    done = front_log(folder, "--logdir", tmp_path / "logs")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"tensorboard --logdir {tmp_path / 'logs'}\n")
    front.to_csv(tmp_path / "front.csv")
    with serve(tmp_path / "logs") as tensorboard:
        answer = tensorboard.with_points(len(front)).get("points", **AXES)
        prefix = f"{folder.name}/"
        assert sorted(points_of(answer)) == sorted(rows_of(front, prefix))
        assert answer["largest"] is None  # the front file does not have it
        body = {
            **AXES,
            "runs": [f"{prefix}{row['trial']}" for row in front.rows],
            "format": "csv",
            "points": [[i, row["epoch"], bool(front.mask[i])] for i, row in enumerate(front.rows)],
            "xs": [],
            "ys": [],
        }
        assert tensorboard.text("export", body) == (tmp_path / "front.csv").read_text()
        told = tensorboard.get("run", run=f"{prefix}{front.rows[0]['trial']}")
        assert told["experiment"] == str(folder)
        assert set(told["settings"]) >= {"penalty_strength", "temperature_schedule"}
    again = front_log(folder, "--logdir", tmp_path / "logs")
    assert again.returncode == 2
    assert "must be a new folder" in again.stderr


def test_a_front_file_that_is_not_there_is_named(tmp_path):
    done = front_log(tmp_path / "none", "--logdir", tmp_path / "logs")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "none") in done.stderr
    assert not (tmp_path / "logs").exists()
