"""Folders of training, validation and test images, by the names that people give them."""

from __future__ import annotations

from pathlib import Path

import pytest
from image_trees import encoded, first_pixels, refusal, tree_of, write_archive, write_folder

from snas_tune.data import NoTestImages, load, load_test


def split_tree(*tops: str) -> dict[str, bytes]:
    return tree_of(*(f"{top}/{name}" for top in tops for name in ("cat/1.png", "dog/1.png")))


@pytest.mark.parametrize("kind", ["folder", ".zip"])
@pytest.mark.parametrize(
    ("train", "validation"),
    [
        *(("train", "validation"), ("train", "valid"), ("TRAIN", "VAL"), ("train", "dev")),
        *(("training", "eval"), ("Train", "Valid"), ("train2017", "val2017")),
        *(("seg_train", "seg_val"), ("Training Set", "Validation Set"), ("TrainSet", "ValSet")),
        *(("train_images", "dev_images"), ("trainset", "valset"), ("data-train", "data-val")),
    ],
)
def test_validation_images_beside_training_images_are_marked(
    tmp_path: Path, train: str, validation: str, kind: str
) -> None:
    tree = split_tree(train, validation)
    path = (
        write_folder(tmp_path, tree)
        if kind == "folder"
        else write_archive(tmp_path / "x.zip", {f"set/{name}": one for name, one in tree.items()})
    )
    data = load(str(path), root=".")
    assert data.classes == ("cat", "dog")
    assert first_pixels(data) == [10, 20, 30, 40]
    assert data.validation is not None
    assert data.validation.tolist() == [False, False, True, True]
    assert data.found is not None
    base = "" if kind == "folder" else "set/"
    assert data.found.parts == {"training": base + train, "validation": base + validation}
    assert (data.found.validation, data.found.counts) == (2, (2, 2))
    with pytest.raises(NoTestImages, match=rf"but {base}{validation}/, whose images are for val"):
        load_test(str(path), root=".")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing"), ("trainval", "test")),
        *(("train", "test1"), ("trainval2012", "test2012")),
    ],
)
def test_test_images_beside_training_images_are_kept_apart(
    tmp_path: Path, train: str, test: str
) -> None:
    write_folder(tmp_path, split_tree(train, test))
    data = load(str(tmp_path), root=".")
    assert (first_pixels(data), data.validation) == ([10, 20], None)
    assert first_pixels(load_test(str(tmp_path), root=".")) == [30, 40]


def test_the_class_folders_of_a_part_may_lie_one_folder_deeper(tmp_path: Path) -> None:
    write_folder(tmp_path, split_tree("train/images", "test/images"))
    assert load(str(tmp_path), root=".").classes == ("cat", "dog")
    assert first_pixels(load_test(str(tmp_path), root=".")) == [30, 40]


def test_a_cached_set_keeps_its_validation_images_and_its_record(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", split_tree("train", "val") | {"a.txt": b""})
    plain = load(str(folder), root=".")
    for _ in range(2):
        kept = load(str(folder), root=".", cache_dir=tmp_path / "cache")
        assert kept.found == plain.found
        assert kept.validation is not None
        assert kept.validation.tolist() == [False, False, True, True]


def test_two_names_of_one_part_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, split_tree("train", "val", "dev"))
    assert (
        refusal(tmp_path) == f"validation images must have one name, got dev and val in {tmp_path}"
    )


def test_names_of_parts_without_a_training_one_are_no_classes(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("VAL/1.png", "Test/1.png"))
    assert refusal(tmp_path) == (
        "parts must have one of training images (train, training, trainval, trainset), "
        f"got Test, VAL in {tmp_path}"
    )


@pytest.mark.parametrize(
    "tops",
    [
        *(("a", "b"), ("first", "second", "third"), ("val", "test"), ("train", "rest")),
        *(("a/a", "b/b"), ("train_a", "test_b")),
    ],
)
def test_folders_that_look_like_parts_are_no_classes(tmp_path: Path, tops: tuple[str, ...]) -> None:
    write_folder(tmp_path, split_tree(*tops))
    message = refusal(tmp_path)
    if tops == ("val", "test"):
        assert message.startswith("parts must have one of training images")
    else:
        assert message == (
            "class folders must not all hold the same folders, as parts do, got cat, dog in each "
            f"of {', '.join(sorted(top.split('/')[0] for top in tops))} in {tmp_path}; parts are "
            "read by these names: train, training, trainval or trainset; val, valid, validation, "
            "validate, valset, dev, eval or evaluation; test, testing or testset"
        )


def test_a_folder_of_training_images_beside_others_is_to_be_given_alone(tmp_path: Path) -> None:
    write_folder(tmp_path, split_tree("train") | tree_of("unlabeled/1.png"))
    assert refusal(tmp_path) == (
        "folders must all be classes, or all parts, got train with cat, dog inside beside "
        f"unlabeled in {tmp_path}; give {tmp_path}/train alone"
    )


def test_classes_whose_names_have_the_word_of_a_part_are_classes(tmp_path: Path) -> None:
    names = ("train_station", "test_tube", "training shoe", "eval", "test1", "test2")
    write_folder(tmp_path, tree_of(*(f"{name}/1.png" for name in names)))
    assert load(str(tmp_path), root=".").classes == tuple(sorted(names))


def test_parts_inside_classes_are_refused(tmp_path: Path) -> None:
    tree = tree_of(*(f"{i}/{part}/1.png" for i in range(20) for part in ("train", "test")))
    write_folder(tmp_path, tree)
    assert refusal(tmp_path).startswith(
        "class folders must not all hold the same folders, as parts"
    )


def test_folders_of_one_name_or_of_many_classes_are_no_parts(tmp_path: Path) -> None:
    write_folder(tmp_path / "one", tree_of("cat/images/1.png", "dog/images/1.png"))
    assert load(str(tmp_path / "one"), root=".").classes == ("cat", "dog")
    tree = tree_of(*(f"{i}/{year}/1.png" for i in range(12) for year in (2019, 2020)))
    write_folder(tmp_path / "many", tree)
    assert len(load(str(tmp_path / "many"), root=".").classes) == 12


def test_images_of_test_without_a_class_are_no_test_images(tmp_path: Path) -> None:
    tree = split_tree("train") | tree_of("test/1.png", "test/2.png")
    write_folder(tmp_path, tree)
    data = load(str(tmp_path), root=".")
    assert data.found is not None
    assert data.found.left_out["without a class"].count == 2
    message = rf"^test images must be in folders of the training classes, got none in {tmp_path}/t"
    with pytest.raises(NoTestImages, match=message):
        load_test(str(tmp_path), root=".")
    write_folder(tmp_path, {"test/unknown/3.png": encoded(3)})
    with pytest.raises(NoTestImages, match=message):
        load_test(str(tmp_path), root=".")


def test_flat_parts_are_told_to_need_classes_and_a_table_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("train/1.png", "test/2.png") | {"train.csv": b"id,a,b\n1,0,1"})
    assert refusal(tmp_path) == (
        "images must be in one folder for each class, or in a table of paths and labels "
        f"(train.csv), got images without a class in {tmp_path}/train"
    )


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (
            ("Annotations/1.xml", "JPEGImages/1.jpg", "ImageSets/Main/train.txt"),
            "Pascal VOC's (Annotations/)",
        ),
        (
            ("annotations/instances_val2017.json", "train2017/1.jpg", "val2017/2.jpg"),
            "COCO's (annotations/instances_val2017.json)",
        ),
        (
            ("train/1.jpg", "train/_annotations.coco.json", "valid/1.jpg"),
            "COCO's (train/_annotations.coco.json)",
        ),
        (("images/1.jpg", "labels/1.txt", "data.yaml"), "YOLO's (labels/)"),
        (
            (
                "train/images/1.jpg",
                "train/labels/1.txt",
                "valid/images/1.jpg",
                "valid/labels/1.txt",
            ),
            "YOLO's (train/labels/)",
        ),
    ],
)
def test_sets_for_detection_are_named(tmp_path: Path, names: tuple[str, ...], form: str) -> None:
    write_folder(tmp_path, {name: encoded(9) if ".jpg" in name else b"" for name in names})
    assert refusal(tmp_path) == (
        "data must be images with one class each, as class folders or a table of paths and labels, "
        f"got a set for detection in a form like {form} in {tmp_path}"
    )
