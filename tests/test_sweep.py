"""Sweeps under a real Ray on this machine: two cores' worth of trials, real files, real kills."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
from conftest import TINY
from ray import tune

from snas_tune.config import SearchConfig
from snas_tune.front import ParetoFront
from snas_tune.genotype import Genotype
from snas_tune.method.checkpoint import load_search
from snas_tune.sweep import (
    BatchedOptuna,
    SnasTrainable,
    make_searcher,
    quiet_ray,
    run_sweep,
    search_space,
    trial_name,
)
from snas_tune.sweep.run import check_sweep, write_pictures
from snas_tune.sweep.space import spread_points

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

EXAMPLES = Path(__file__).parent.parent / "examples"


def tiny_space(**changes):
    return search_space(**{**TINY, "epochs": 2, **changes})


@pytest.fixture(scope="module")
def local_ray():
    quiet_ray(cpus=2)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def swept(local_ray, tmp_path_factory):
    storage = tmp_path_factory.mktemp("sweep")
    return run_sweep(tiny_space(), name="first", storage_path=str(storage), trials=4)


def contents(front: ParetoFront):
    return [{k: v for k, v in row.items() if k != "checkpoint"} for row in front.rows]


def test_every_child_of_every_trial_is_in_the_front_file(swept):
    assert swept.failed == {}
    rows = swept.front.rows
    assert len(rows) == 4 * 2
    assert len({row["trial"] for row in rows}) == 4
    for row in rows:
        assert 0 <= row["child_accuracy"] <= 1
        Genotype.from_json(row["genotype"])
        config = SearchConfig.from_dict(json.loads(row["config"]))
        assert row["trial"] == trial_name(config.to_dict())
        assert config.penalty_strength == row["penalty_strength"]


def test_the_same_seed_gives_the_same_front_file(swept, local_ray, tmp_path):
    again = run_sweep(tiny_space(), name="again", storage_path=str(tmp_path), trials=4,
                      progress=False)  # fmt: skip
    assert repr(again.front.rows) == repr(swept.front.rows)  # as text, for NaN equals NaN there


def test_a_rows_checkpoint_gives_that_rows_child(swept):
    row = max(swept.front.rows, key=lambda row: (row["epoch"], row["child_accuracy"]))
    search = load_search(Path(swept.path, row["checkpoint"]))
    assert search.epoch == row["epoch"]
    child = search.child(Genotype.from_json(row["genotype"]))
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
    assert any(tag.startswith("cells/") for tag in front.Tags()["images"])
    assert "front/text_summary" in front.Tags()["tensors"]
    assert front.Scalars("front_size")[-1].value == len(swept.front.front)
    row = swept.front.rows[-1]
    trial = EventAccumulator(str(log / row["trial"])).Reload()
    assert trial.Scalars("child_accuracy")[-1].value == pytest.approx(row["child_accuracy"])
    assert trial.Scalars("child_accuracy")[-1].step == row["epoch"]
    assert "credit/normal/0-2" in trial.Tags()["scalars"]
    assert "_hparams_/session_start_info" in trial.summary_metadata


def test_pictures_of_the_front_and_of_every_cell_on_it_are_written(swept, tmp_path):
    files = write_pictures(swept, tmp_path)
    assert (tmp_path / "front.svg").stat().st_size > 1000
    assert len(files) == 2 + len(swept.front.front)
    assert all(path.exists() for path in files)


def test_a_failing_trial_leaves_the_others_results_whole(local_ray, tmp_path):
    space = tiny_space()
    space["weights_learning_rate"] = tune.choice([0.025, 1e30])
    result = run_sweep(space, name="failing", storage_path=str(tmp_path), trials=2, max_failures=0)
    ((name, reason),) = result.failed.items()
    assert "loss must be finite, got " in reason
    whole = {row["trial"] for row in result.front.rows if row["epoch"] == 2}
    assert len(whole) == 1
    assert name not in whole


def test_a_trial_restored_in_a_used_actor_goes_on_bit_for_bit(tmp_path):
    config = {**SearchConfig(**TINY).to_dict(), "penalty_strength": 0.3}
    other = {**config, "seed": 5}

    def reports(trainable, epochs):
        keep = []
        for _ in range(epochs):
            result = trainable.train()
            keep.append({k: result[k] for k in ("loss", "accuracy", "flops", "genotype", "epoch")})
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


def start_example(storage: Path, *extra: str) -> subprocess.Popen[str]:
    code = f"""
import sys
sys.argv = ["sweep.py", "--trials", "4", "--results", {str(storage)!r}, "--name", "k", *{extra!r}]
sys.path.insert(0, {str(EXAMPLES)!r})
import sweep
sweep.PRESETS["demo"] = dict({TINY!r}, epochs=3)
sys.exit(sweep.main())
"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, cwd=storage)  # fmt: skip


def wait_for_rows(storage: Path, count: int, process: subprocess.Popen[str]) -> list[dict]:
    for _ in range(1200):
        try:
            rows = ParetoFront.read(storage / "k").rows
        except ValueError:
            rows = []
        if len(rows) >= count:
            return rows
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    raise AssertionError(f"no {count} rows in two minutes")


def children_of(pid: int) -> dict[int, str]:
    """Every process below ``pid``, with its command line."""
    parents, names = {}, {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parents[int(path.name)] = int(
                    (path / "stat").read_text().rsplit(")")[-1].split()[1]
                )
                names[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
            except (OSError, IndexError):
                continue
    found: dict[int, str] = {}
    grown = True
    while grown:
        grown = False
        for child, parent in parents.items():
            if child not in found and (parent == pid or parent in found):
                found[child] = names[child]
                grown = True
    return found


@pytest.mark.timeout(400)
def test_killed_processes_lose_no_finished_child(tmp_path):
    """Kill -9 of a trial's process, then of the driver, then resume: as if nothing had happened."""
    process = start_example(tmp_path)
    wait_for_rows(tmp_path, 1, process)
    actors = [pid for pid, name in children_of(process.pid).items() if "ray::SnasTrainable" in name]
    assert actors
    os.kill(actors[0], signal.SIGKILL)
    before = wait_for_rows(tmp_path, 4, process)
    process.kill()
    process.wait()
    resumed = start_example(tmp_path, "--resume")
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, output
    after = ParetoFront.read(tmp_path / "k")
    keys = {(row["trial"], row["epoch"]) for row in after.rows}
    assert keys >= {(row["trial"], row["epoch"]) for row in before}
    finished = {trial for trial, epoch in keys if epoch == 3}
    assert len(finished) >= 4
    for trial in finished:
        assert {(trial, epoch) for epoch in (1, 2, 3)} <= keys
    by_key = {(row["trial"], row["epoch"]): row for row in contents(after)}
    for row in before:  # repeated epochs gave the same children
        assert by_key[row["trial"], row["epoch"]]["genotype"] == row["genotype"]
        assert by_key[row["trial"], row["epoch"]]["child_accuracy"] == row["child_accuracy"]
    assert "front file" in output


def test_a_batch_is_told_only_when_all_of_it_has_ended_and_in_its_order():
    def proposals(order):
        searcher = make_searcher("random", concurrent=2, seed=3)
        searcher.set_search_properties(None, None, tiny_space())
        first = [searcher.suggest("a"), searcher.suggest("b")]
        assert searcher.suggest("c") is None
        results = {"a": {"child_accuracy": 0.5, "flops": 10}, "b": {"child_accuracy": math.nan,
                                                                    "flops": 20}}  # fmt: skip
        for name in order:
            searcher.on_trial_complete(name, results[name])
        states = [trial.state.name for trial in searcher._ot_study.trials]
        return first, states, searcher.suggest("c")

    one, other = proposals("ab"), proposals("ba")
    assert one == other
    assert one[1] == ["COMPLETE", "FAIL"]  # NaN is a failure, not a lost trial


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_searcher_is_restored_with_its_state(sampler, tmp_path):
    def fresh():
        searcher = make_searcher(sampler, concurrent=1, seed=1)
        searcher.set_search_properties(None, None, tiny_space())
        return searcher

    whole = fresh()
    for i in range(3):
        whole.suggest(str(i))
        whole.on_trial_complete(str(i), {"child_accuracy": 0.1 * i, "flops": i})
        if i == 1:
            whole.save(str(tmp_path / "state"))
    restored = fresh()
    restored.restore(str(tmp_path / "state"))
    restored.suggest("2")
    restored.on_trial_complete("2", {"child_accuracy": 0.2, "flops": 2})
    assert restored.suggest("x") == whole.suggest("x")


def test_the_first_points_hit_every_part_of_every_domain_once():
    space = search_space(penalty=(0.1, 10.0), schedules=("linear", "cosine"))
    points = spread_points(space, 8, seed=0)
    assert points == spread_points(space, 8, seed=0) != spread_points(space, 8, seed=1)
    parts = sorted(int(4 * (1 + math.log10(p["penalty_strength"]))) for p in points)
    assert parts == list(range(8))
    kinds = [p["temperature_schedule"] for p in points]
    assert kinds.count("linear") == kinds.count("cosine") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"penalty": (-1.0, 1.0)}, "range of penalty_strength must be positive and ascending, got"),
        ({"penalty": (math.nan, 1.0)}, "range of penalty_strength must be positive and ascending"),
        ({"schedules": ()}, "schedules must name one kind or more, got none"),
        ({"schedules": ("steps",)}, "temperature_schedule must be one of linear, .*, got 'steps'"),
        ({"penalty_strength": 1.0}, r"settings must not fix what the sweep varies, got \['pena"),
        ({"epoch": 1}, r"unknown settings \['epoch'\]; SearchConfig has"),
        ({"temperature_end": (0.0, 1.0)}, "range of temperature_end must be positive and ascendi"),
    ],
)
def test_a_wrong_search_space_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        search_space(**arguments)


def one_class(folder: Path) -> str:
    from PIL import Image

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
        (lambda p: {"device": "nonsense"}, "device must be one of this machine, got 'nonsense'"),
    ],
)
def test_what_can_be_known_is_refused_before_any_trial(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        check_sweep(tiny_space(**changes(tmp_path)), str(tmp_path / "results"))


def test_a_corrupt_image_anywhere_in_a_folder_is_refused_before_any_trial(tmp_path):
    from PIL import Image

    for kind in ("cat", "dog"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for i in range(12):
            Image.new("L", (8, 8), 20 * i).save(tmp_path / "data" / kind / f"{i:02d}.png")
    (tmp_path / "data" / "dog" / "07.png").write_bytes(b"not a picture")
    space = tiny_space(data=str(tmp_path / "data"), limit_images=None)
    with pytest.raises(ValueError, match=r"dog/07\.png") as error:
        check_sweep(space, str(tmp_path / "results"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", "a/b", ".."])
def test_a_name_that_is_no_directory_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="name must be that of a directory, without a slash, got"):
        run_sweep(tiny_space(), name=name, storage_path=str(tmp_path))


def test_a_storage_path_without_permission_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"storage path .*file/results is not writable"):
        check_sweep(tiny_space(), str(tmp_path / "file" / "results"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials must be positive, got 0"),
        ({"cpus_per_trial": 0}, "cpus_per_trial must be positive, got 0"),
        ({"searcher": "grid"}, "searcher must be one of tpe, nsga2, random, got 'grid'"),
        ({"concurrent": 0}, "batch must be positive, got 0"),
    ],
)
def test_wrong_arguments_of_a_sweep_are_refused(local_ray, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        run_sweep(tiny_space(), name="x", storage_path=str(tmp_path), **arguments)


def test_a_front_file_of_a_newer_version_is_refused_before_any_trial(local_ray, tmp_path):
    import pyarrow.parquet as pq

    from snas_tune.front import SCHEMA

    (tmp_path / "x").mkdir()
    newer = SCHEMA.with_metadata({b"snas_tune.format": b"2"}).empty_table()
    pq.write_table(newer, tmp_path / "x" / "front.parquet")
    with pytest.raises(ValueError, match="has format 2; this snas_tune reads up to 1"):
        run_sweep(tiny_space(), name="x", storage_path=str(tmp_path))


def test_names_of_trials_follow_from_their_settings_alone():
    config = SearchConfig(penalty_strength=0.5, temperature_schedule="cosine")
    name = trial_name(config.to_dict())
    assert name.startswith("cosine-5.00e-01-")
    elsewhere = SearchConfig(**{**config.to_dict(), "data_root": "/elsewhere"})
    assert trial_name(elsewhere.to_dict()) == name
    assert trial_name({**config.to_dict(), "seed": 1}) != name


def test_a_batch_must_hold_a_trial():
    with pytest.raises(ValueError, match="batch must be positive, got 0"):
        BatchedOptuna(batch=0)
