"""``snas-tune take`` on a front of the user's own images, which have no test part."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY
from PIL import Image

from snas_tune.cli.app import main
from snas_tune.cli.take import Take as Command
from snas_tune.cli.take import some_of
from snas_tune.config import SearchConfig
from snas_tune.front import FrontFile, ParetoFront
from snas_tune.front.table import SCHEMA
from snas_tune.search.checkpoint import save_search
from snas_tune.search.search import Search

Take = Callable[..., int]


def write_images(folder: Path, count: int) -> Path:
    generator = np.random.default_rng(count)
    for label, name in enumerate(("cat", "dog", "owl")):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(40 * label, 40 * label + 100, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def write_experiment(folder: Path, data: str, **settings: object) -> Path:
    """One trial of one epoch, with its front file, as a sweep leaves them."""
    own = {"limit_images": None, "data": data, "data_cache": str(folder / "cache")}
    config = SearchConfig(**{**TINY, **own, **settings})
    search = Search(config)
    report = search.run_epoch()
    save_search(search, folder / "trial" / "checkpoint_000000")
    row = {
        **config.to_dict(),
        **report,
        "trial": "trial",
        "config": config.to_json(),
        "checkpoint": "trial/checkpoint_000000",
    }
    FrontFile(str(folder / "front.parquet")).add([{n: row[n] for n in SCHEMA.names}])
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    return write_experiment(root / "results", str(write_images(root / "pets", 20)))


@pytest.fixture
def take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Take:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> int:
        which = () if "--pick" in arguments else ("--max-mflops", "9")
        return main(["take", *map(str, (*arguments, *which))])

    return run


def test_without_test_images_a_cell_is_taken_trained_and_exported_with_validation_alone(
    sweep: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("new").mkdir()
    assert take(sweep, "--epochs", "2", "--seed", "3", "--export", "new/cell.pt2") == 0
    out = capsys.readouterr().out
    assert "the test accuracy is not measured: test images must be in test/" in out
    for line in ("with the supernet's weights: validation", "epoch 2 of 2: loss", "trained: valid"):
        assert f"\n{line}" in out
    assert "exported to new/cell.pt2: uint8 pixels from 0 to 255 of shape (B, 3, 8, 8)" in out
    told = "\n".join(line.strip() for line in out.splitlines()[-2:])
    names: dict[str, Any] = {}
    exec(told, {"torch": torch}, names)  # what it says is how the file is read
    assert names["names"]["classes.json"] == '["cat", "dog", "owl"]'
    program = names["program"].module()
    assert program(torch.zeros(7, 3, 8, 8, dtype=torch.uint8)).shape == (7, 3)


def test_a_cell_of_a_partial_search_is_taken_trained_and_exported(
    tmp_path: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(write_images(tmp_path / "pets", 20))
    sweep = write_experiment(tmp_path / "results", data, partial_channels=2)
    assert take(sweep, "--epochs", "2", "--drop-path", "0.2", "--export", "cell.pt2") == 0
    assert "\ntrained: validation" in capsys.readouterr().out
    program = torch.export.load("cell.pt2").module()
    assert program(torch.zeros(7, 3, 8, 8, dtype=torch.uint8)).shape == (7, 3)


def test_the_seed_fixes_the_training(
    sweep: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for seed in ("0", "0", "1"):
        assert take(sweep, "--epochs", "1", "--seed", seed) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_a_child_with_kept_weights_is_trained_from_new_ones_at_another_rate(
    sweep: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for rate in ("2", "1e-12"):
        assert take(sweep, "--epochs", "1", "--new-weights", "--learning-rate", rate) == 0
        said.append(capsys.readouterr().out)
        assert "training of this child begins with new weights\n" in said[-1]
        assert "with the supernet's weights" not in said[-1]
    assert said[0] != said[1]
    assert take(sweep, "--new-weights") == 2
    assert "epochs must be positive for a child with new weights" in capsys.readouterr().err


def test_test_images_that_are_there_are_measured_and_broken_ones_are_an_error(
    tmp_path: Path, take: Take, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "pets" / "train", 20)
    write_images(tmp_path / "pets" / "test", 3)
    sweep = write_experiment(tmp_path / "results", str(tmp_path / "pets"))
    assert take(sweep) == 0
    assert "with the supernet's weights: test " in capsys.readouterr().out
    (tmp_path / "pets" / "test" / "dog" / "1.png").write_bytes(b"no picture")
    assert take(sweep) == 2
    assert capsys.readouterr().err.startswith("error: image must be readable, got ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "-3"), "epochs must be a whole number, 0 or more, got -3"),
        (("--seed", "-1"), "seed must be a whole number, 0 or more, got -1"),
        (("--drop-path", "1"), "drop_path must be at least 0 and below 1, got 1.0"),
        (("--export", "cell.onnx"), "exported program must end in .pt2, got cell.onnx"),
        (("--export", "file/cell.pt2"), "export must lie in a folder that is there, got file/cel"),
        (("--export", "typo/cell.pt2"), "export must lie in a folder that is there, got typo/cel"),
        (("--learning-rate", "0"), "learning_rate must be positive, got 0.0"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_read(
    take: Take, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    Path("file").write_text("")
    assert take("no/such/sweep", *arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {message}")
    assert (said.err.count("\n"), said.out) == (1, "")


def without_checkpoint(sweep: Path, folder: Path) -> Path:
    """The same front, whose checkpoint was not kept."""
    rows = ParetoFront.read(sweep).rows
    FrontFile(str(folder / "front.parquet")).add([{**row, "checkpoint": None} for row in rows])
    return folder


def test_a_named_cell_is_taken(sweep: Path, take: Take, capsys: pytest.CaptureFixture[str]) -> None:
    assert take(sweep, "--pick", "trial:1") == 0
    out = capsys.readouterr().out
    assert out.startswith("trial, epoch 1: ")
    assert "with the supernet's weights: validation" in out
    assert take(sweep, "--pick", "trial:2") == 2
    assert (
        "pick must be the TRIAL:EPOCH of a row of the front file, got 'trial:2' "
        "(on the front: trial:1)" in capsys.readouterr().err
    )


def test_a_budget_below_every_child_is_refused_in_the_unit_of_the_flag() -> None:
    rows = [{"flops": 175_904, "child_accuracy": 0.5}, {"flops": 9, "child_accuracy": math.nan}]
    with pytest.raises(
        ValueError,
        match=r"^max_mflops must be at least 0.176, the MFLOPs of the cheapest child, got 0.01$",
    ):
        Command(sweep="x", max_mflops=0.01).check_budget(rows)
    Command(sweep="x", max_mflops=0.176).check_budget(rows)


def test_a_message_names_five_children_of_the_front_and_shortens_them() -> None:
    rows = [{"trial": "t" * 99, "epoch": 1}, *({"trial": "a", "epoch": i} for i in range(6))]
    assert some_of(rows) == f" (on the front: ...{'t' * 55}:1, a:0, a:1, a:2, a:3 and 2 more)"
    assert some_of([]) == ""


def test_a_cell_whose_checkpoint_was_not_kept_begins_with_new_weights(
    sweep: Path, take: Take, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = without_checkpoint(sweep, tmp_path)
    assert take(bare, "--pick", "trial:1") == 2
    assert (
        "epochs must be positive for a child with new weights, as of one whose checkpoint was not"
        in capsys.readouterr().err
    )
    assert take(bare, "--pick", "trial:1", "--epochs", "1") == 0
    out = capsys.readouterr().out
    assert "begins with new weights, as its checkpoint was not kept" in out
    assert "with the supernet's weights" not in out
    assert "\ntrained: validation" in out


def test_a_cell_is_taken_with_images_that_moved(
    sweep: Path, take: Take, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert take(sweep, "--pick", "trial:1", "--device", "nowhere") == 2
    assert "device must be" in capsys.readouterr().err
