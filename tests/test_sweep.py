"""Sweeps under a real Ray on this machine: two cores' worth of trials, real files, real kills."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow.fs
import pytest
import ray
from conftest import TINY
from PIL import Image
from ray import tune

from snas_tune.config import SearchConfig
from snas_tune.front import ParetoFront
from snas_tune.search.checkpoint import load_search
from snas_tune.space.cell.genotype import Genotype
from snas_tune.sweep import (
    SnasTrainable,
    SweepSettings,
    quiet_ray,
    run_sweep,
    sweep_space,
    trial_name,
    write_pictures,
)
from snas_tune.sweep.callbacks.front import SweepFront
from snas_tune.sweep.callbacks.trials import SweepTrial
from snas_tune.sweep.trainable import FAILURE
from snas_tune.training.diverged import Diverged

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def tiny_space(**changes):
    return sweep_space(**{**TINY, "epochs": 2, **changes})


@pytest.fixture(scope="module")
def local_ray():
    quiet_ray(cpus=2)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def swept(local_ray, tmp_path_factory):
    storage = tmp_path_factory.mktemp("sweep")
    return run_sweep(
        tiny_space(),
        SweepSettings(
            name="first", storage_path=str(storage), trials=4, searcher="tpe", rule="fifo"
        ),
    )


def test_every_child_of_every_trial_is_in_the_front_file(swept):
    assert swept.failed == {}
    rows = swept.front.rows
    assert len(rows) == 4 * 2
    assert len({row["trial"] for row in rows}) == 4
    for row in rows:
        assert 0 <= row["child_accuracy"] <= 1
        Genotype.from_json(row["architecture"])
        config = SearchConfig.from_dict(json.loads(row["config"]))
        assert row["trial"] == trial_name(config.to_dict())
        assert config.penalty_strength == row["penalty_strength"]


def test_the_same_seed_gives_the_same_front_file(swept, local_ray, tmp_path):
    again = run_sweep(
        tiny_space(),
        SweepSettings(
            name="again",
            storage_path=str(tmp_path),
            trials=4,
            searcher="tpe",
            rule="fifo",
            progress=False,
        ),
    )
    assert repr(again.front.rows) == repr(swept.front.rows)  # as text, for NaN equals NaN there


def test_a_rows_checkpoint_gives_that_rows_child(swept):
    row = max(swept.front.rows, key=lambda row: (row["epoch"], row["child_accuracy"]))
    search = load_search(Path(swept.path, row["checkpoint"]))
    assert search.epoch == row["epoch"]
    child = search.child(Genotype.from_json(row["architecture"]))
    assert search.child_accuracy(child) == row["child_accuracy"]
    assert sum(p.numel() for p in child.parameters()) == row["params"]


def test_tensorboard_has_scalars_hparams_images_and_the_table(swept):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = Path(swept.path, "tensorboard")
    runs = {path.name for path in log.iterdir()}
    assert runs == {"front", *(row["trial"] for row in swept.front.rows)}
    front = EventAccumulator(str(log / "front")).Reload()
    assert {"hypervolume", "front_size"} <= set(front.Tags()["scalars"])
    assert "front" in front.Tags()["images"]
    assert any(tag.startswith("architectures/") for tag in front.Tags()["images"])
    assert "front/text_summary" in front.Tags()["tensors"]
    volumes = front.Scalars("hypervolume")  # a point for each child, the last of them all
    assert [volume.step for volume in volumes] == list(range(1, 9))
    values = [volume.value for volume in volumes]
    assert values == sorted(values)
    largest = json.loads(next(Path(swept.path).glob("*/result.json")).read_text().splitlines()[0])
    reference = (0.0, largest["largest_flops"])
    assert max(row["flops"] for row in swept.front.rows) <= reference[1]
    assert values[-1] == pytest.approx(swept.front.hypervolume(reference, normalised=True))
    sizes = front.Scalars("front_size")
    assert [size.step for size in sizes] == [1, 2, 3, 4]  # a point for each trial that ended
    assert sizes[-1].value == len(swept.front.front)
    row = swept.front.rows[-1]
    trial = EventAccumulator(str(log / row["trial"])).Reload()
    assert trial.Scalars("child_accuracy")[-1].value == pytest.approx(row["child_accuracy"])
    assert trial.Scalars("child_accuracy")[-1].step == row["epoch"]
    assert "credit/normal/0-2" in trial.Tags()["scalars"]
    assert "_hparams_/session_start_info" in trial.summary_metadata


def test_hparams_knows_the_domain_of_what_varies_and_shows_it(swept):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    front = EventAccumulator(str(Path(swept.path, "tensorboard", "front"))).Reload()
    content = front.SummaryMetadata("_hparams_/experiment").plugin_data.content
    infos = {
        info.name: info for info in metadata.parse_experiment_plugin_data(content).hparam_infos
    }
    assert set(infos) == {
        "penalty_strength",
        "temperature_schedule",
        "temperature_start",
        "temperature_end",
    }
    assert all(info.differs for info in infos.values())
    interval = infos["penalty_strength"].domain_interval
    assert (interval.min_value, interval.max_value) == (0.03, 30.0)
    kinds = [value.string_value for value in infos["temperature_schedule"].domain_discrete.values]
    assert sorted(kinds) == ["cosine", "exponential", "linear"]


def test_pictures_of_the_front_and_of_every_cell_on_it_are_written(swept, tmp_path):
    files = write_pictures(swept, tmp_path)
    assert (tmp_path / "front.svg").stat().st_size > 1000
    assert len(files) == 2 + len(swept.front.distinct)
    assert all(path.exists() for path in files)
    stale = tmp_path / "architectures" / "07-linear-1.00e+00-abcdef-3.svg"
    stale.write_text("of an earlier front")
    (tmp_path / "architectures" / "mine.txt").write_text("the user's")
    write_pictures(swept, tmp_path)
    assert sorted((tmp_path / "architectures").iterdir()) == sorted(
        [*files[2:], tmp_path / "architectures" / "mine.txt"]
    )


def test_a_failing_trial_leaves_the_others_results_whole(local_ray, tmp_path):
    space = tiny_space()
    space["weights_learning_rate"] = tune.choice([0.025, 1e30])
    result = run_sweep(
        space, SweepSettings(name="failing", storage_path=str(tmp_path), trials=2, max_failures=0)
    )
    ((name, reason),) = result.failed.items()
    assert "loss must be finite, got " in reason
    whole = {row["trial"] for row in result.front.rows if row["epoch"] == 2}
    assert len(whole) == 1
    assert name not in whole


def test_if_all_trials_fail_the_front_is_empty_and_only_our_own_lines_are_printed(
    local_ray, tmp_path, capfd
):
    space = {**tiny_space(), "weights_learning_rate": 1e30}
    result = run_sweep(
        space, SweepSettings(name="f", storage_path=str(tmp_path), trials=2, max_failures=2)
    )
    assert len(result.front) == 0
    assert len(result.failed) == 2
    assert result.exit_status == 1
    assert result.problems[-1] == "2 of 2 trials failed"
    assert not logging.getLogger("ray.tune.tune").isEnabledFor(logging.ERROR)
    data, disk, memory, *lines = capfd.readouterr().err.splitlines()
    assert data.startswith("data: 120 of 1,442 images (limit_images=120) of 10 classes (smallest ")
    assert disk.startswith("disk: at most ")
    assert re.match(r"memory: about \S+ GiB a trial; 2 fit on this machine", memory)
    assert len(lines) == 2
    for line in lines:  # with the reason, at once
        assert re.match(r"trial \S+ failed: .*Diverged: loss must be finite, got ", line)
    for name in result.failed:  # what fails the same way every time is not tried again
        assert (tmp_path / "f" / name / "error.txt").read_text().count("Failure #") == 1
        assert not list((tmp_path / "f" / name).glob("checkpoint_*"))


@pytest.mark.parametrize("settings", [{"weights_learning_rate": 1e30}, {"data": "nowhere/at/all"}])
def test_what_fails_every_time_is_reported_and_then_raised(settings, tmp_path):
    trainable = SnasTrainable(config={**SearchConfig(**TINY).to_dict(), **settings})
    report = trainable.train()
    assert report[FAILURE].startswith(("loss must be finite", "data directory nowhere/at/all"))
    assert math.isnan(report["child_accuracy"])
    assert math.isnan(report["flops"])
    assert not report["done"]
    for following in (trainable.train, lambda: trainable.save(str(tmp_path))):
        with pytest.raises((Diverged, ValueError), match=re.escape(report[FAILURE])):
            following()
    assert trainable.reset(SearchConfig(**TINY).to_dict())
    assert trainable.train()["epoch"] == 1
    trainable.stop()


def test_a_trial_restored_in_a_used_actor_goes_on_bit_for_bit(tmp_path):
    config = {**SearchConfig(**TINY).to_dict(), "penalty_strength": 0.3}
    other = {**config, "seed": 5}

    def reports(trainable, epochs):
        keep = []
        for _ in range(epochs):
            result = trainable.train()
            keep.append(
                {k: result[k] for k in ("loss", "accuracy", "flops", "architecture", "epoch")}
            )
        return keep

    whole = SnasTrainable(config=dict(config))
    expected = reports(whole, 3)
    first = SnasTrainable(config=dict(config))
    begun = reports(first, 1)
    first.save(str(tmp_path / "c"))
    second = SnasTrainable(config=dict(other))
    reports(second, 1)
    assert second.reset(dict(config))
    second.restore(str(tmp_path / "c"))
    assert begun + reports(second, 2) == expected
    for trainable in (whole, first, second):
        trainable.stop()


def test_a_sweep_over_seeds_alone_and_a_single_search_are_possible(local_ray, tmp_path):
    fixed = {
        "penalty": (1.0, 1.0),
        "schedules": ["linear"],
        "temperature_start": (1.0, 1.0),
        "temperature_end": (0.1, 0.1),
        "epochs": 1,
    }
    single = tiny_space(**fixed)
    one = run_sweep(single, SweepSettings(name="one", storage_path=str(tmp_path), trials=1))
    assert len(one.front) == 1
    seeds = {**single, "seed": tune.randint(0, 2)}
    two = run_sweep(seeds, SweepSettings(name="two", storage_path=str(tmp_path), trials=2))
    assert sorted(row["seed"] for row in two.front.rows) == [0, 1]
    with pytest.raises(ValueError, match=r"trials must be at most 1, .* got 2"):
        run_sweep(single, SweepSettings(name="three", storage_path=str(tmp_path), trials=2))


def test_relative_paths_mean_the_directory_in_which_the_space_was_made(
    local_ray, tmp_path, monkeypatch
):
    for kind in ("cat", "dog"):
        (tmp_path / "here" / "small" / kind).mkdir(parents=True)
        for i in range(40):
            picture = Image.new("L", (8, 8), 5 * i)
            picture.save(tmp_path / "here" / "small" / kind / f"{i:02d}.png")
    monkeypatch.chdir(tmp_path / "here")
    settings = {"limit_images": None, "epochs": 1, "data_cache": "cache"}
    result = run_sweep(tiny_space(data="small", **settings), SweepSettings(name="x", trials=1))
    assert result.failed == {}
    (row,) = result.front.rows
    config = json.loads(row["config"])
    here = tmp_path / "here"
    assert config["data"] == str(here / "small")
    assert config["data_root"] == str(here / "data")
    assert config["data_cache"] == str(here / "cache")
    assert result.path == str(here / "results" / "x")
    assert not (here / "results" / "x" / row["trial"] / "cache").exists()
    # The trial is called the same wherever the images lie.
    assert trial_name({**config, "data": "/elsewhere/small"}) == row["trial"]
    assert trial_name({**config, "data": "/elsewhere/other"}) != row["trial"]


@pytest.mark.parametrize("kind", ["CPU", "GPU"])
def test_more_than_the_machine_has_is_refused(kind, local_ray, tmp_path):
    most = ray.cluster_resources().get(kind, 0)
    name = f"{kind.lower()}s_per_trial"
    message = f"{name} must be at most the {most:g} {kind}s of this machine, got {most + 1:g}"
    with pytest.raises(ValueError, match=message):
        run_sweep(
            tiny_space(), SweepSettings(name="x", storage_path=str(tmp_path), **{name: most + 1})
        )


def test_a_finished_sweep_is_resumed_from_elsewhere_without_doing_anything(swept, monkeypatch):
    before = repr(swept.front.rows)
    monkeypatch.chdir("/")
    storage = str(Path(swept.path).parent)
    again = run_sweep(
        tiny_space(),
        SweepSettings(
            name="first", storage_path=storage, trials=4, resume=True, searcher="tpe", rule="fifo"
        ),
    )
    assert repr(again.front.rows) == before
    assert (again.exit_status, again.problems) == (0, [])


def test_rows_wait_for_a_storage_that_is_away(swept, tmp_path, capsys):
    root = tmp_path / "experiment"
    root.write_text("a file in the way")
    (first, second) = swept.front.rows[:2]
    trial = SimpleNamespace(
        trial_id="one",
        config=json.loads(first["config"]),
        storage=SimpleNamespace(
            experiment_fs_path=str(root), storage_filesystem=pyarrow.fs.LocalFileSystem()
        ),
    )
    front, known = SweepFront(), SweepTrial.of(trial.config)
    front.add(trial, known.row(first), 1e6)
    assert front.add(trial, known.row(second), 1e6)["children"] == 2
    said = capsys.readouterr().err
    assert said.startswith("the front file waits for its storage: ")
    assert said.count("\n") == 1
    root.unlink()
    front.add(trial, known.row({**first, "epoch": 7}), 1e6)
    assert [row["epoch"] for row in ParetoFront.read(root).rows] == [1, 2, 7]
    shutil.rmtree(root)
    root.write_text("again")
    front.add(trial, known.row(first), 1e6)
    front.close([trial])
    assert capsys.readouterr().err.endswith("1 rows of the front file could not be written\n")
