"""The line that says what was read, and the one for a class that most images have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snas_tune.data.found import Found, LeftOut
from snas_tune.data.summary import advice_line, found_line, majority_line

CLASSES = ("bag", "coat", "shoe")
FOUND = Found(
    spec="clothes",
    classes=CLASSES,
    counts=(900, 1200, 1000),
    channels=1,
    sizes=((28, 28), (28, 28)),
)


def test_images_classes_sizes_and_channels_are_said() -> None:
    assert found_line(FOUND, 28, (2480, 620), "crop") == (
        'data: 3,100 images of 3 classes (smallest 900 "bag", largest 1,200 "coat", 38.7 %), '
        "28x28 grey; 620 held out for validation"
    )


def test_folders_and_left_out_files_are_said() -> None:
    left_out = {".heic": LeftOut(90, ("a.heic",)), "unreadable": LeftOut(2, ("b.png", "c.png"))}
    parts = {"training": "train", "test": "test"}
    line = found_line(replace(FOUND, parts=parts, left_out=left_out), 28, (2480, 620), "crop")
    assert line.endswith(
        "28x28 grey, from train/; 620 held out for validation; test images in test/; "
        "left out: 90 .heic (pip install pillow-heif), 2 unreadable"
    )


def test_the_sources_own_validation_images_are_said() -> None:
    parts = {"training": "train", "validation": "val"}
    found = replace(FOUND, parts=parts, validation=100)
    assert "; 100 from val/ for validation" in found_line(found, 28, (3000, 100), "crop")
    table = replace(found, spec="all.csv")
    assert ', from "train"; 100 from "val" for' in found_line(table, 28, (3000, 100), "crop")


def test_a_limit_is_said() -> None:
    line = found_line(FOUND, 28, (800, 200), "crop")
    assert line.startswith("data: 1,000 of 3,100 images (limit_images=1000) of 3 classes (")


def test_several_sizes_and_the_way_to_a_square_are_said() -> None:
    found = replace(FOUND, sizes=((32, 24), (4000, 3000)), channels=3)
    assert ", 32x24 to 4000x3000 RGB, brought to 32x32 (fit=pad);" in found_line(
        found, 32, (2480, 620), "pad"
    )
    assert ", 28x28 5 channels;" in found_line(replace(FOUND, channels=5), 28, (1, 2), "crop")
    assert ", 8x8 grey, 12 bits;" in found_line(replace(FOUND, sizes=None), 8, (1, 2), "crop", 12)


def test_equal_classes_need_no_range_and_empty_ones_are_named() -> None:
    equal = replace(FOUND, counts=(1000,) * 3)
    assert " of 3 classes (1,000 each), " in found_line(equal, 28, (2400, 600), "crop")
    empty = replace(FOUND, counts=(0, 1200, 0))
    assert '; no images of "bag", "shoe"' in found_line(empty, 28, (960, 240), "crop")


def test_names_of_classes_keep_to_the_line() -> None:
    odd = replace(FOUND, classes=("a\nb", "coat", "shoe"))
    assert "\n" not in found_line(odd, 28, (2480, 620), "crop")


@pytest.mark.parametrize(("metric", "share"), [("accuracy", "91.0"), ("balanced_accuracy", "33.3")])
def test_the_answer_that_is_always_the_same_has_its_accuracy(metric: str, share: str) -> None:
    line = majority_line(CLASSES, (910, 45, 45), metric)
    assert line == f'always answering "bag" gives {share} %'


def test_advice_is_given_above_one_half() -> None:
    assert advice_line(CLASSES, (910, 45, 45), "accuracy") == (
        'always answering "bag" gives 91.0 %: '
        "--set metric=balanced_accuracy measures each class alike"
    )
    assert advice_line(CLASSES, (910, 45, 45), "balanced_accuracy") == ""
    assert advice_line(("a", "b"), (50, 50), "accuracy") == ""
