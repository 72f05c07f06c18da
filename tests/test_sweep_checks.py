"""What a sweep refuses before any trial starts: one line each, and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY
from PIL import Image

from snas_tune.config import SearchConfig
from snas_tune.search.autotune import FILE
from snas_tune.sweep import SweepSettings, cluster, make_tuner, prepare, run_sweep, sweep_space
from snas_tune.sweep.directory import claim_experiment
from snas_tune.sweep.experiment import Description
from snas_tune.sweep.prepare import check_sweep


def tiny_space(**changes):
    return sweep_space(**{**TINY, "epochs": 2, **changes})


def one_class(folder: Path) -> str:
    (folder / "pictures" / "cat").mkdir(parents=True)
    Image.new("L", (8, 8)).save(folder / "pictures" / "cat" / "a.png")
    return str(folder / "pictures")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda p: {"data": "no/such/folder"}, "no/such/folder"),
        (lambda p: {"data": one_class(p)}, r"data must have at least two classes, got 1"),
        (lambda p: {"ops": ("none", "warp")}, "op must be one of none, .*, got 'warp'"),
        (lambda p: {"latency_table": str(p / "t.json")}, "latency table .*t.json cannot be read"),
        (
            lambda p: {"device": "nonsense"},
            "device must be auto, or one of cpu, .*, got 'nonsense'",
        ),
    ],
)
def test_what_can_be_known_is_refused_before_any_trial(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        check_sweep(tiny_space(**changes(tmp_path)))


def test_the_supernets_form_is_measured_as_the_trials_will_run_it(tmp_path, monkeypatch):
    """With their threads, and not at all for a GPU that is theirs."""
    monkeypatch.setenv("SNAS_TUNE_CACHE", str(tmp_path))
    config = SearchConfig(**{**TINY, "threads": 2}, ops=("none", "skip_connect", "sep_conv_3x3"))
    prepare._build_search(config, gpus=0.5)
    assert not (tmp_path / FILE).exists()
    prepare._build_search(config)
    ((key, _),) = json.loads((tmp_path / FILE).read_text())["seconds"].items()
    assert '"threads": 2,' in key
    assert torch.get_num_threads() == 1


def pictures(folder: Path, count: int = 12) -> Path:
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            Image.new("L", (8, 8), 20 * i).save(folder / kind / f"{i:02d}.png")
    return folder


def test_a_corrupt_image_anywhere_in_a_folder_is_refused_before_any_trial(tmp_path):
    pictures(tmp_path / "data")
    (tmp_path / "data" / "dog" / "07.png").write_bytes(b"not a picture")
    space = tiny_space(data=str(tmp_path / "data"), limit_images=None)
    with pytest.raises(ValueError, match=r"dog/07\.png") as error:
        check_sweep(space)
    assert "\n" not in str(error.value)


def test_a_storage_path_without_permission_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"storage path .*file/results/x is not writable"):
        run_sweep(
            tiny_space(), SweepSettings(name="x", storage_path=str(tmp_path / "file" / "results"))
        )


def test_what_a_setting_may_be_depends_on_where_the_sweep_runs(tmp_path):
    two = SweepSettings(name="x", storage_path=str(tmp_path), machines=2)
    with pytest.raises(ValueError, match=r"machines must be 1 without the address .*, got 2"):
        run_sweep(tiny_space(), two)
    again = SweepSettings(name="x", storage_path=str(tmp_path), resume=True)
    with pytest.raises(ValueError, match="resume must be off for a tuner"):
        make_tuner(tiny_space(), again)


def test_a_front_file_of_a_newer_version_is_refused_before_any_trial(tmp_path):
    import pyarrow.parquet as pq

    from snas_tune.front import SCHEMA

    (tmp_path / "x").mkdir()
    newer = SCHEMA.with_metadata({b"snas_tune.format": b"3"}).empty_table()
    pq.write_table(newer, tmp_path / "x" / "front.parquet")
    with pytest.raises(ValueError, match="has format 3; this snas_tune reads up to 2"):
        run_sweep(tiny_space(), SweepSettings(name="x", storage_path=str(tmp_path)))


def test_an_address_without_a_cluster_is_refused_at_once(tmp_path):
    code = """
import time
from snas_tune.sweep import quiet_ray
try:
    quiet_ray(address="127.0.0.1:1")
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith(
        "address must be that of a running Ray cluster, got '127.0.0.1:1' ("
    )
    assert done.stdout.count("\n") == 1


def test_without_an_address_a_cluster_that_ran_here_is_not_joined():
    folder = Path(tempfile.mkdtemp(prefix="r"))  # short: Ray's sockets lie in it
    (folder / "ray").mkdir()
    (folder / "ray" / "ray_current_cluster").write_text("192.0.2.9:42575")  # its head is gone
    code = """
import ray
from snas_tune.sweep import quiet_ray
quiet_ray(cpus=1)
print(ray.cluster_resources()["CPU"])
"""
    environment = {**os.environ, "RAY_TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
        env=environment,
    )
    shutil.rmtree(folder)
    assert done.stdout == "1.0\n"


def test_a_name_with_results_needs_resume_and_resume_needs_results(tmp_path):
    (tmp_path / "first").mkdir()
    front = tmp_path / "first" / "front.parquet"
    shutil.copy(Path(__file__).parent / "data" / "front_v1.parquet", front)
    before = front.read_bytes()
    for start in (run_sweep, make_tuner):
        with pytest.raises(ValueError, match=r"name must be a new one, got 'first', which .* hold"):
            start(tiny_space(), SweepSettings(name="first", storage_path=str(tmp_path)))
    assert front.read_bytes() == before
    with pytest.raises(ValueError, match="name must be that of a sweep to resume, got 'second' in"):
        run_sweep(
            tiny_space(), SweepSettings(name="second", storage_path=str(tmp_path), resume=True)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        ({"penalty": (0.1, 30.0)}, {}, "penalty_strength must be .*0.03,30.0.* got .*0.1,30.0"),
        ({"schedules": ["linear"]}, {}, 'temperature_schedule must be .*"choice".* got "linear"$'),
        ({"epochs": 7}, {}, "epochs must be 2 as in the sweep to resume, got 7"),
        ({"data": "cifar10"}, {}, 'data must be "digits" as in the sweep to resume, got "cifar10"'),
        ({"seed": 1}, {}, "^seed must be 0 as in the sweep to resume, got 1"),
        ({}, {"seed": 3}, "seed of the searcher must be 0 as in the sweep to resume, got 3"),
        ({}, {"searcher": "random"}, 'searcher must be "tpe" as in the sweep to resume, got "rand'),
    ],
)
def test_a_resume_that_asks_for_another_sweep_is_refused(tmp_path, space, arguments, message):
    asked = SweepSettings(name="x", trials=4, searcher="tpe")
    begun = Description.of(tiny_space(), replace(asked, concurrent=2))
    begun.write(str(tmp_path))
    recorded = Description.read(str(tmp_path))
    recorded.check_same(Description.of(tiny_space(data_root="/elsewhere"), asked))
    recorded.check_same(Description.of(tiny_space(), replace(asked, trials=5, concurrent=1)))
    with pytest.raises(ValueError, match=message):
        recorded.check_same(Description.of(tiny_space(**space), replace(asked, **arguments)))


def test_a_description_of_cd67db4_is_read_and_compared(tmp_path):
    """It does not say what is newer, which counts as the default."""
    shutil.copy(Path(__file__).parent / "data" / "sweep_v1.json", tmp_path / "sweep.json")
    recorded = Description.read(str(tmp_path))
    same = SweepSettings(name="x", trials=14, searcher="tpe", rule="fifo")
    demo = {"cells": 3, "channels": 8, "nodes": 3, "epochs": 12, "channels_last": True}
    space = sweep_space(penalty=(0.03, 60.0), **demo, threads=1)
    recorded.check_same(Description.of(space, same))
    with pytest.raises(ValueError, match='rule must be "fifo" as in the sweep to resume, got "par'):
        recorded.check_same(Description.of(space, replace(same, rule="pareto")))
    del recorded.space["epochs"]
    with pytest.raises(ValueError, match="epochs must be 150 as in the sweep to resume, got 12"):
        recorded.check_same(Description.of(space, same))


def test_a_sweep_whose_description_is_gone_is_not_resumed(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "experiment_state-1.json").write_text("{}")
    newer = json.dumps(
        {"format": 2, "space": {}, "trials": 1, "searcher": "tpe", "seed": 0, "concurrent": 1}
    )
    for text in (None, "not JSON", "[]", '{"format": 1}', newer):
        if text is not None:
            (tmp_path / "x" / "sweep.json").write_text(text)
        with pytest.raises(
            ValueError, match=r"sweep.json must describe the sweep to resume, got n"
        ):
            run_sweep(
                tiny_space(), SweepSettings(name="x", storage_path=str(tmp_path), resume=True)
            )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it must be JSON: Expecting value: line 1 column 1 (char 0)"),
        ("null", "it must be a JSON object with format, got null"),
        ('"format"', "it must be a JSON object with format, got 'format'"),
        ("{}", "it must be a JSON object with format, got {}"),
        ('\ufeff{"format": null}', "its format must be 1, got null"),
        ('{"format": 1}', "its space must be a JSON object, got null"),
        ('{"format": 1, "space": [3]}', "its space must be a JSON object, got [3]"),
    ],
)
def test_a_description_that_is_damaged_says_what_is_wrong(text, reason, tmp_path):
    (tmp_path / "sweep.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(f"({reason})")):
        Description.read(str(tmp_path))


def test_tune_saves_the_state_of_many_trials_less_often_unless_the_user_says_how_often(monkeypatch):
    name = cluster.PERIOD
    monkeypatch.delenv(name, raising=False)
    for trials, period in ((1, "5"), (50, "5"), (200, "20"), (100_000, "60"), (4, "5")):
        cluster.save_states_of(trials)
        assert os.environ[name] == period
    monkeypatch.setenv(name, "7")
    cluster.save_states_of(200)
    assert os.environ[name] == "7"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="/proc is where root cannot write")
def test_an_experiment_that_cannot_be_written_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^storage path /proc/self/x is not writable: ") as caught:
        claim_experiment("/proc/self", "x", resume=False)
    assert "\n" not in str(caught.value)
