"""``snas-tune take`` where images moved, changed, lack labels, or are no longer there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_take import write_experiment, write_images

from snas_tune.cli.app import main
from snas_tune.data import resolve
from snas_tune.search.checkpoint import FILE, load_search

Take = Callable[..., int]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("moved")
    pets = str(write_images(root / "pets", 20))
    write_experiment(root / "results", pets, ops=("sep_conv_3x3", "dil_conv_3x3"))
    return root


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep, and its images elsewhere than they were."""
    shutil.copytree(made / "results", tmp_path / "results", ignore=lambda *_: {"cache"})
    shutil.copytree(made / "pets", tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def take(*arguments: object) -> int:
    return main(["take", "results", "--pick", "trial:1", *map(str, arguments)])


def test_the_images_are_taken_from_where_they_are_now(
    made: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert take("--data", "moved", "--data-root", "nowhere") == 0
    moved = capsys.readouterr().out
    assert "\ndata: 60 images of 3 classes (20 each), 8x8 RGB; 12 held out for validation" in moved
    assert "the images are not those" not in moved
    assert take() == 0
    assert capsys.readouterr().out.splitlines()[-1] == moved.splitlines()[-1]
    assert "with the supernet's weights: validation " in moved
    assert " % (balanced " in moved


def test_other_files_are_told_and_other_classes_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "moved" / "cat" / "0.png").unlink()
    assert take("--data", "moved") == 0
    line = "the images are not those of the search: 59 images where the search had 60"
    assert f"\n{line}\n" in capsys.readouterr().out
    for old, new in (("cat", "x"), ("dog", "cat"), ("x", "yak")):
        (place / "moved" / old).rename(place / "moved" / new)
    assert take("--data", "moved", "--epochs", "1") == 2
    assert capsys.readouterr().err == (
        "error: classes must be those of the search, 3 of them, got 3 (new 'yak'; gone 'dog')\n"
    )


def test_classes_that_are_fewer_or_more_are_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "moved" / "cat", place / "moved" / "yak")
    assert take("--data", "moved", "--epochs", "1") == 2
    assert capsys.readouterr().err == (
        "error: classes must be those of the search, 3 of them, got 4 (new 'yak')\n"
    )


def test_new_weights_need_the_classes_of_the_sweep_too(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = load_search(place / "results" / "trial" / "checkpoint_000000").images
    from snas_tune.sweep import SweepSettings, sweep_space
    from snas_tune.sweep.experiment import Description

    description = Description.of(sweep_space(), SweepSettings(name="x"))
    Description(description.space, description.asked, record).write(str(place / "results"))
    assert json.loads((place / "results" / "sweep.json").read_text())["images"] == record
    (place / "moved" / "cat").rename(place / "moved" / "yak")
    assert take("--data", "moved", "--epochs", "1", "--new-weights") == 2
    assert "(new 'yak'; gone 'cat')\n" in capsys.readouterr().err


def test_an_export_alone_needs_no_images(
    made: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert take("--export", "with.pt2") == 0
    capsys.readouterr()
    assert take("--data", "gone/away", "--export", "without.pt2") == 0
    out = capsys.readouterr().out
    assert "nothing is measured, as the images cannot be read: data directory gone/away" in out
    assert "bring images to this size as the search did (fit=crop)" in out
    names = {"classes.json": ""}
    programs = [
        torch.export.load(path, extra_files=names).module() for path in ("with.pt2", "without.pt2")
    ]
    assert json.loads(names["classes.json"]) == ["cat", "dog", "owl"]
    pixels = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    assert torch.allclose(programs[0](pixels), programs[1](pixels), atol=1e-5)


def test_images_that_are_gone_are_an_error_where_they_are_needed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ((), ("--epochs", "1", "--export", "child.pt2")):
        assert take("--data", "gone/away", *more) == 2
        assert capsys.readouterr().err == "error: data directory gone/away does not exist\n"
    assert not Path("child.pt2").exists()


def test_a_checkpoint_without_statistics_needs_images(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "results" / "trial" / "checkpoint_000000" / FILE
    state = torch.load(path, weights_only=True)
    for later in ("images", "normalise", "statistics"):
        del state[later]
    torch.save(state, path)
    assert take("--data", "gone/away", "--export", "child.pt2") == 2
    assert "error: images must be there for a checkpoint that does not" in capsys.readouterr().err
    assert take("--data", "moved", "--export", "child.pt2") == 0


def test_test_images_without_labels_are_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "kaggle" / "train", 20)
    (tmp_path / "kaggle" / "test").mkdir()
    for i in range(5):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "kaggle/test" / f"{i}.png")
    write_experiment(tmp_path / "results", str(tmp_path / "kaggle"))
    monkeypatch.chdir(tmp_path)
    assert take("--epochs", "1", "--export", "child.pt2") == 0
    out = capsys.readouterr().out
    assert "\nthe test accuracy is not measured: test images must be in " in out
    assert "\ntrained: validation " in out
    assert "exported to child.pt2" in out


def test_where_the_images_are_now_is_asked_for(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(config: object) -> None:
        resolve("gone/away", root="gone")

    monkeypatch.setattr("snas_tune.search.images.load_images", gone)
    missing = "data directory gone/away does not exist; give --data PATH"
    assert take() == 2
    assert capsys.readouterr().err == f"error: {missing}, or --data-root\n"
    assert take("--data-root", "data") == 2
    assert capsys.readouterr().err == f"error: {missing}\n"
    assert take("--export", "child.pt2") == 0
    assert f"cannot be read: {missing}, or --data-root\n" in capsys.readouterr().out
