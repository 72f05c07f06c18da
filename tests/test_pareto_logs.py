"""Logs of any origin in the Pareto tab: older formats, other spaces and programs, front files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from pareto_logs import AXES, points_of, rows_of, serve, some_report, unimportable, write_sweep
from tensorboard.plugins.hparams import summary_v2
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from snas_tune.architecture import Picks, read_architecture
from snas_tune.config import SearchConfig
from snas_tune.events import FORMAT, ChildrenForm
from snas_tune.front import ParetoFront
from snas_tune.plugin.loader import Loader
from snas_tune.plugin.rows import sweep_of
from snas_tune.tensorboard_log import SweepLog
from snas_tune.tensorboard_log.children import form_of, space_columns

OLD = Path(__file__).parent / "data" / "log_v1"

REPORT = some_report(np.random.default_rng(0), 1, 1.0)

FORM = form_of(REPORT, space_columns(REPORT))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return folder, write_sweep(folder)


def one_trial(log: SweepLog, name: str, reports) -> None:
    log.start_trial(name, SearchConfig(penalty_strength=1.0))
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
        told = tensorboard.get("architecture", run="long", step=299)
        assert told["json"] == again[1]["architecture"]


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
    newer = json.dumps({**json.loads(report["architecture"]), "format": 99})
    one_trial(log, "child", [{**report, "architecture": newer}])
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
        assert {run["name"]: run["children"] for run in answer["runs"]} == {
            "child": True,
            "form": False,
        }
        error = tensorboard.get("architecture", run="child", step=1)["error"]
        assert "format of the architecture must be 1, got 99" in error


def exported(tensorboard, front, run: str) -> str:
    """The CSV of all rows of a front with one trial."""
    body = {
        **AXES,
        "runs": [run],
        "format": "csv",
        "xs": [],
        "ys": [],
        "points": [
            [0, row["epoch"], bool(on)] for row, on in zip(front.rows, front.mask, strict=True)
        ],
    }
    return tensorboard.text("export", body)


def test_a_log_of_the_first_format_is_shown(tmp_path):
    front = ParetoFront.read(OLD)
    front.to_csv(tmp_path / "front.csv")
    with serve(OLD) as tensorboard:
        answer = tensorboard.with_points(len(front)).get("points", **AXES)
        assert sorted(points_of(answer)) == sorted(rows_of(front))
        assert answer["largest"] == 70_000_000
        tags = tensorboard.get("tags")
        assert tags["newer"] is False
        assert {"largest_flops", "edges", "credit_normal"} <= {tag["name"] for tag in tags["tags"]}
        assert tensorboard.get("run", run="old-0")["steps"] == [1, 2]
        told = tensorboard.get("architecture", run="old-0", step=2)
        assert told["json"] == front.rows[1]["architecture"]
        assert "<svg" in tensorboard.text("architecture.svg", run="old-0", step=2)
        assert exported(tensorboard, front, "old-0") == (tmp_path / "front.csv").read_text()


def test_a_sweep_that_began_with_the_first_format_goes_on_in_the_same_run(tmp_path):
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    log = SweepLog(tmp_path)
    reports = [some_report(np.random.default_rng(1), epoch, 1.0) for epoch in (3, 4)]
    one_trial(log, "old-0", reports)
    log.close()
    with serve(tmp_path) as tensorboard:
        tensorboard.with_points(4)
        assert tensorboard.get("run", run="old-0")["steps"] == [1, 2, 3, 4]
        for name in FORM.names:
            answer = tensorboard.get("points", x=name, y="child_accuracy")
            new = {step: x for _, step, x, _ in points_of(answer) if step > 2}
            values = [report.get(name, np.nan) for report in reports]
            assert new == {3 + i: value for i, value in enumerate(values) if np.isfinite(value)}, (
                name
            )


def test_a_vector_of_another_length_than_the_run_began_with_is_left_out(tmp_path):
    reports = [some_report(np.random.default_rng(1), epoch, 1.0) for epoch in (1, 2)]
    for report in (reports[0], {k: v for k, v in reports[1].items() if k != "credit_normal"}):
        log = SweepLog(tmp_path)
        one_trial(log, "one", [report])
        log.close()
    with serve(tmp_path) as tensorboard:
        tensorboard.wait(lambda served: "one" in str(served.get("points", **AXES)))
        assert tensorboard.get("points", **AXES)["step"] == [1]


def test_children_of_any_space_are_shown_with_its_own_columns(tmp_path):
    picks = [Picks("toy", {"kernel": k, "width": "16"}) for k in "35"]
    reports = [some_report(np.random.default_rng(0), epoch, 1.0) for epoch in (1, 2)]
    log = SweepLog(tmp_path)
    one_trial(
        log,
        "toy",
        [
            {
                **{name: value for name, value in report.items() if not name.startswith("credit")},
                "architecture": architecture.to_json(),
                "credit_choices": 0.5,
                "credit/choices/kernel": 0.25,
            }
            for report, architecture in zip(reports, picks, strict=True)
        ],
    )
    log.close()
    with serve(tmp_path) as tensorboard:
        tensorboard.with_points(2)
        tags = {tag["name"]: tag for tag in tensorboard.get("tags")["tags"]}
        assert tags["credit_choices"]["meaning"] == "mean credit of choices, see docs/method.md"
        assert "credit/choices/kernel" in tags
        assert "edges" not in tags
        answer = tensorboard.get("points", x="credit_choices", y="child_accuracy")
        assert answer["x"] == [0.5, 0.5]
        told = tensorboard.get("architecture", run="toy", step=2)
        assert read_architecture(told["json"]) == picks[1]
        assert told["text"] == told["json"]
        assert told["short"] == "kernel 5, width 16"
        assert told["parts"] == [["choices", [["kernel", "5"], ["width", "16"]]]]
        picture = tensorboard.text("architecture.svg", run="toy", step=1, part="choices")
        assert picture.count('class="pill"') == 2


def test_an_empty_log_directory_has_no_points(tmp_path):
    with serve(tmp_path) as tensorboard:
        assert tensorboard.get("tags")["tags"] == []
        answer = tensorboard.get("points", **AXES)
        assert (answer["runs"], answer["x"], answer["without"]) == ([], [], 0)


def test_the_tab_works_where_ray_and_torch_cannot_be_imported(sweep, tmp_path):
    environment = unimportable(tmp_path)
    with serve(sweep[0] / "tensorboard", environment=environment) as tensorboard:
        tensorboard.with_points(len(sweep[1]))
        row = sweep[1].rows[0]
        assert "<svg" in tensorboard.text("architecture.svg", run=row["trial"], step=row["epoch"])


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
