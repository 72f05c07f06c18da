"""A sweep whose images were moved goes on with them, and its trials keep their names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import TINY
from image_trees import encoded, write_folder

from snas_tune.config import SearchConfig
from snas_tune.front import ParetoFront
from snas_tune.search.images import image_record, load_images
from snas_tune.sweep import SweepSettings, sweep_space
from snas_tune.sweep.callbacks.trials import sweep_trial
from snas_tune.sweep.experiment import Description
from snas_tune.sweep.resumed import places_of, renew

ASKED = SweepSettings(name="x", trials=2)


def pets(folder: Path) -> Path:
    names = [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(40)]
    return write_folder(folder, {name: encoded(3 * i) for i, name in enumerate(names)})


def described(data: str, **images: Any) -> Description:
    return replace(Description.of(sweep_space(data=data), ASKED), **images)


def test_a_search_reads_its_images_where_they_are_now(tmp_path: Path) -> None:
    old = pets(tmp_path / "old")
    config = SearchConfig(**{**TINY, "limit_images": None, "data": str(old)})
    record = image_record(load_images(config))
    shutil.move(old, tmp_path / "new")
    moved = SearchConfig(**{**config.to_dict(), "data_place": str(tmp_path / "new")})
    assert image_record(load_images(moved)) == record
    assert moved.fingerprint() == config.fingerprint()
    assert "data_place" not in config.to_dict()


def test_another_path_is_a_place_where_the_images_are_recorded() -> None:
    recorded = described("/old/pets", images={"fingerprint": "x"})
    recorded.check_same(described("/new/pets"))
    space = recorded.moved(sweep_space(data="/new/pets"))
    assert (space["data"], space["data_place"]) == ("/old/pets", "/new/pets")
    recorded.check_same(Description.of(space, ASKED))
    assert "data_place" not in recorded.moved(sweep_space(data="/old/pets"))
    with pytest.raises(ValueError, match=r'^data must be "/old/pets" as .*, got "digits"$'):
        recorded.check_same(described("digits"))


def test_without_a_record_the_images_must_be_where_they_were() -> None:
    with pytest.raises(
        ValueError,
        match=r"got /new/pets: move the images back, or link them: /old/pets \(/results/x\)$",
    ):
        described("/old/pets").check_same(described("/new/pets"), "/results/x")


def test_restored_trials_read_the_new_place_under_their_old_names() -> None:
    config = SearchConfig(**{**TINY, "data": "/old/pets"}).to_dict()
    trials = [
        SimpleTrial(is_finished=lambda ended=ended: ended, config=config) for ended in (False, True)
    ]
    before = sweep_trial(trials[0]).name
    space = {"data": "/old/pets", "data_place": "/new/pets", "data_cache": "/new/cache"}
    renew(trials, None, 3, places_of(space))
    after = sweep_trial(trials[0])
    assert after.name == before
    assert (after.search.images_at, after.search.data_cache) == ("/new/pets", "/new/cache")
    assert trials[1].config == config
    renew(trials, None, 3, places_of({"data": "/old/pets"}))
    assert sweep_trial(trials[0]).search.images_at == "/old/pets"


class SimpleTrial(SimpleNamespace):
    """What a resume changes of a trial."""

    __hash__ = object.__hash__

    @property
    def run_metadata(self) -> SimpleNamespace:
        return SimpleNamespace(checkpoint_manager=SimpleNamespace())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_interrupted_sweep_goes_on_with_moved_images(tmp_path: Path) -> None:
    old, new = pets(tmp_path / "old"), tmp_path / "new"
    sizes = [f"--set={n}={v}" for n, v in {**TINY, "limit_images": 80, "epochs": 6}.items()]
    words = ["--name=x", "--rule=fifo", "--concurrent=1", "--trials=2", "--supernet=plain"]
    command = [sys.executable, "-m", "snas_tune", "sweep", *words, "--epochs=6", *sizes]
    first = subprocess.Popen([*command, f"--data={old}"], cwd=tmp_path)
    while not (tmp_path / "results/x/front.parquet").exists():
        assert first.poll() is None
        time.sleep(0.1)
    first.terminate()
    first.wait(200)
    names = {row["trial"] for row in ParetoFront.read(tmp_path / "results/x").rows}
    shutil.move(old, new)
    resume = [*command, f"--data={new}", "--resume", "--trials=3"]
    done = subprocess.run(
        resume, cwd=tmp_path, timeout=400, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"the images are now in {new}\n" in done.stderr
    rows = ParetoFront.read(tmp_path / "results/x").rows
    assert names < {row["trial"] for row in rows}
    assert len(rows) == 3 * 6
    assert {json.loads(row["config"])["data"] for row in rows} == {str(old)}
    done = subprocess.run(
        resume, cwd=tmp_path, timeout=400, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "all 3 trials had ended and nothing was run" in done.stderr
    assert len(ParetoFront.read(tmp_path / "results/x")) == len(rows)
