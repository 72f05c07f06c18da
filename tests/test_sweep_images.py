"""A sweep says what was read before its first trial, and is resumed with its own images only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY
from image_trees import encoded, write_folder

from snas_tune.cli.sweep import majority_lines
from snas_tune.config import SearchConfig
from snas_tune.front import ParetoFront
from snas_tune.front.table import SCHEMA
from snas_tune.search.images import image_record, load_images
from snas_tune.sweep import SweepResult, SweepSettings, prepare, sweep_space
from snas_tune.sweep.experiment import Description
from snas_tune.sweep.recorded import recorded_images


@pytest.fixture
def config(tmp_path: Path) -> SearchConfig:
    names = [f"{name}/{i}.png" for name, n in {"cat": 60, "dog": 20}.items() for i in range(n)]
    pets = write_folder(tmp_path / "pets", {n: encoded(3 * i) for i, n in enumerate(names)})
    return SearchConfig(**{**TINY, "limit_images": None, "data": str(pets)})


def described(folder: Path, config: SearchConfig) -> Description:
    whole = Description.of(sweep_space(), SweepSettings(name="x"))
    description = replace(whole, images=image_record(load_images(config)))
    description.write(str(folder))
    return description


def test_the_lines_come_before_any_trial_unless_progress_is_off(
    config: SearchConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SweepSettings(name="x")
    prepare._read_images(config, settings, str(tmp_path))
    assert capsys.readouterr().err == (
        'data: 80 images of 2 classes (smallest 20 "dog", largest 60 "cat", 75.0 %), 4x4 grey; '
        "16 held out for validation\n"
        'always answering "cat" gives 75.0 %: '
        "--set metric=balanced_accuracy measures each class alike\n"
    )
    prepare._read_images(config, replace(settings, progress=False), str(tmp_path))
    assert capsys.readouterr().err == ""


def test_a_resume_is_with_the_same_images(config: SearchConfig, tmp_path: Path) -> None:
    described(tmp_path, config)
    resume = SweepSettings(name="x", resume=True)
    prepare._read_images(config, resume, str(tmp_path))
    pets = Path(config.data)
    (pets / "cat" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"^images must be those .*: 79 images where .* had 80$"):
        prepare._read_images(config, resume, str(tmp_path))
    prepare._read_images(config, replace(resume, resume=False), str(tmp_path))
    for old, new in (("cat", "x"), ("dog", "cat"), ("x", "dog")):
        (pets / old).rename(pets / new)
    with pytest.raises(ValueError, match=r"^classes must be .*, got images of 'dog' in 'cat'$"):
        prepare._read_images(config, resume, str(tmp_path))


def test_a_description_holds_the_record_and_old_ones_have_none(
    config: SearchConfig, tmp_path: Path
) -> None:
    assert recorded_images(str(tmp_path)) is None
    description = described(tmp_path, config)
    assert Description.read(str(tmp_path)) == description
    assert recorded_images(str(tmp_path)) == description.images
    values = json.loads((tmp_path / "sweep.json").read_text())
    del values["images"]
    (tmp_path / "sweep.json").write_text(json.dumps(values))
    assert Description.read(str(tmp_path)) == replace(description, images=None)
    (tmp_path / "sweep.json").write_text(json.dumps({**values, "images": {"classes": 3}}))
    with pytest.raises(ValueError, match=r"^sweep.json must .*record of images must hold"):
        Description.read(str(tmp_path))


def test_the_foot_of_the_table_says_the_majoritys_share(
    config: SearchConfig, tmp_path: Path
) -> None:
    result = SweepResult(str(tmp_path), ParetoFront(SCHEMA.empty_table()), {}, 1, 1)
    assert majority_lines(result) == []
    described(tmp_path, config)
    assert majority_lines(result) == ['(always answering "cat" gives 75.0 %)']
