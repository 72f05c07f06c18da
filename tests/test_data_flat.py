"""Images that lie in no class folder, and folders beside the parts: read, or told why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from image_trees import first_pixels, refusal, tree_of, write_archive, write_folder

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


LABELS = b"image,label\n1.png,cat\n2.png,dog\n"
FORM = b"image,label\n3.png,cat\n4.png,cat\n"


def named(data: ImageSet) -> list[tuple[int, str]]:
    return [(one, data.classes[i]) for one, i in zip(first_pixels(data), data.labels, strict=True)]


@pytest.mark.parametrize(
    ("folder", "table"),
    [
        ("images", "labels.csv"),
        ("images", "any.csv"),
        ("images", "images/metadata.csv"),
        ("train", "train.csv"),
        ("kaggle/images/train", "kaggle/train.csv"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "own"])
def test_the_table_of_an_only_folder_of_images_is_read(
    tmp_path: Path, folder: str, table: str, prefix: str
) -> None:
    write_folder(tmp_path, tree_of(f"{folder}/1.png", f"{folder}/2.png"))
    own = f"\n{folder.rpartition('/')[2]}/" if prefix else "\n"
    text = LABELS.decode().strip().replace("\n", own)
    write_folder(tmp_path, {table: text.encode(), "sample_submission.csv": LABELS})
    data = load(str(tmp_path), root=".", cache_dir=tmp_path.parent / f"{tmp_path.name}-cache")
    assert named(data) == [(10, "cat"), (20, "dog")]


@pytest.mark.parametrize(
    ("training", "table"),
    [
        ("train", "train.csv"),
        ("train", "train_labels.csv"),
        ("train", "trainLabels.csv"),
        ("train", "labels.csv"),
        ("train_images", "train.csv"),
        ("train", "classes.csv"),
    ],
)
def test_the_table_of_unlabelled_training_images_is_read(
    tmp_path: Path, training: str, table: str
) -> None:
    test = training.replace("train", "test")
    write_folder(tmp_path, tree_of(*(f"{training}/{i}.png" for i in (1, 2))))
    write_folder(tmp_path, tree_of(*(f"{test}/{i}.png" for i in (3, 4, 1))))
    write_folder(tmp_path, {table: LABELS, "sample_submission.csv": FORM, "other.csv": FORM})
    write_folder(tmp_path, {"test.csv": LABELS})
    assert named(load(str(tmp_path), root=".")) == [(10, "cat"), (20, "dog")]


def test_a_table_of_other_images_or_one_of_two_is_not_read(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("images/1.png", "images/2.png") | {"other.csv": FORM})
    assert refusal(tmp_path) == (
        "images must be in one folder for each class, or in a table of paths and labels "
        f"(other.csv), got images without a class in {tmp_path}/images"
    )
    write_folder(tmp_path, {"one.csv": LABELS, "two.csv": LABELS})
    with pytest.raises(ValueError, match=r"^one table must label the images of a folder, got one"):
        load(str(tmp_path), root=".")


def test_class_folders_go_before_a_table(tmp_path: Path) -> None:
    table = b"image,label\n1.png,x\n2.png,y\n"
    write_folder(tmp_path, tree_of("a/1.png", "b/2.png") | {"labels.csv": table})
    assert load(str(tmp_path), root=".").classes == ("a", "b")
    write_folder(tmp_path / "parts", tree_of(*CLASSES) | {"train.csv": table})
    assert load(str(tmp_path / "parts"), root=".").classes == ("a", "b")


@pytest.mark.parametrize("spec", ["pets", "other/../pets", "link"])
def test_a_table_of_absolute_paths_is_of_a_folder_however_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    write_folder(tmp_path / "pets", tree_of("images/1.png", "images/2.png"))
    text = LABELS.decode().strip().replace("\n", f"\n{tmp_path}/pets/images/")
    write_folder(tmp_path, {"pets/a.csv": text.encode(), "other/x": b""})
    (tmp_path / "link").symlink_to("pets")
    monkeypatch.chdir(tmp_path)
    assert named(load(spec, root=".")) == [(10, "cat"), (20, "dog")]
