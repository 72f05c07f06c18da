"""Images that lie in no class folder, and folders beside the parts: read, or told why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from image_trees import encoded, first_pixels, refusal, tree_of, write_archive, write_folder

from snas_tune.data import ImageSet, load
from snas_tune.data.found import LeftOut, of_no_part
from snas_tune.data.summary import found_line

CLASSES = tuple(f"{part}/{name}/1.png" for part in ("train", "val") for name in "ab")


@pytest.mark.parametrize("kind", ["folder", ".zip"])
def test_folders_that_are_no_parts_are_named(tmp_path: Path, kind: str) -> None:
    names = [*CLASSES, "holdout/a/1.png", "holdout/b/1.png", "holdout/b/2.png", "test/9.png"]
    tree = {f"pets/{name}": content for name, content in tree_of(*names).items()}
    if kind == "folder":
        path = write_folder(tmp_path / "x", tree)
    else:
        path = write_archive(tmp_path / f"x{kind}", tree)
    found = load(str(path), root=".").found
    assert found is not None
    examples = tuple(f"pets/{name}" for name in names[4:7])
    assert found.left_out == {
        "in pets/holdout/, which is no name of a part": LeftOut(3, examples),
        "without a class": LeftOut(1, ("pets/test/9.png",)),
    }
    line = found_line(found, 4, (2, 2), "crop")
    assert "left out: 3 in pets/holdout/, which is no name of a part, 1 without a class" in line


def test_many_folders_that_are_no_parts_are_one_kind() -> None:
    assert of_no_part(["b", "a"]) == "in a/, b/, which are no names of parts"
    assert of_no_part("abcde") == "in a/, b/, c/ and 2 more, which are no names of parts"


@pytest.mark.parametrize("name", ["train", "train_images", "Test"])
def test_an_only_part_without_class_folders_is_no_class(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, tree_of(f"{name}/cat.0.jpg", f"{name}/dog.0.jpg"))
    assert refusal(tmp_path) == refusal(tmp_path / name)
    assert refusal(tmp_path) == (
        "images must be in one folder for each class, or in a table of paths and labels, "
        f"got images without a class in {tmp_path}/{name}"
    )
