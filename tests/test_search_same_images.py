"""A search goes on with its own images only; another list of the same classes is told apart."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from image_trees import encoded, write_folder

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.search.checkpoint import load_search, save_search
from snas_tune.search.images import (
    changed_line,
    check_same_images,
    image_lines,
    image_record,
    load_images,
)
from snas_tune.search.search import Search


def own(folder: Path, **changes: Any) -> SearchConfig:
    return SearchConfig(**{**TINY, "limit_images": None, "data": str(folder), **changes})


def record(folder: Path) -> dict[str, Any]:
    return image_record(load_images(own(folder)))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    counts = {"cat": 9, "dog": 10, "owl": 11}
    names = [f"{name}/{i}.png" for name, count in counts.items() for i in range(count)]
    images = {name: encoded(7 * i, "RGB", (8, 8)) for i, name in enumerate(names)}
    return write_folder(tmp_path / "pets", images)


def test_the_record_names_classes_counts_and_shape(pets: Path) -> None:
    found = record(pets)
    assert found["classes"] == ["cat", "dog", "owl"]
    assert found["counts"] == [9, 10, 11]
    assert (found["shape"], found["bits"]) == ([3, 8, 8], 8)


def test_the_fingerprint_is_of_names_labels_and_sizes_and_not_of_the_place(
    pets: Path, tmp_path: Path
) -> None:
    before = record(pets)
    moved = pets.rename(tmp_path / "elsewhere")
    assert record(moved) == before
    (moved / "cat" / "0.png").rename(moved / "cat" / "zero.png")
    assert record(moved)["fingerprint"] != before["fingerprint"]
    assert changed_line(before, record(moved)) == (
        "30 images as before, with other names, sizes, labels or bits"
    )
    (moved / "cat" / "zero.png").unlink()
    assert changed_line(before, record(moved)) == "29 images where the search had 30"


def test_images_of_a_module_are_known_by_shape_and_labels() -> None:
    def prints(labels: list[int], side: int = 2) -> str:
        pixels = np.zeros((4, 1, side, side), np.uint8)
        return ImageSet(pixels, np.array(labels), ("a", "b")).fingerprint()

    assert prints([0, 1, 0, 1]) == prints([0, 1, 0, 1])
    assert len({prints([0, 1, 0, 1]), prints([0, 1, 1, 0]), prints([0, 1, 0, 1], 3)}) == 3


THREE = {
    "classes": ["cat", "dog", "owl"],
    "counts": [2, 2, 2],
    "shape": [1, 8, 8],
    "bits": 8,
    "fingerprint": "f",
    "samples": ["a", "b", "c"],
}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["dog", "cat", "owl"], "in their order, got 'dog' in place of 'cat', 'cat' in place of"),
        (["cat", "emu", "owl"], "3 of them, got 3 (new 'emu'; gone 'dog')"),
        (["cat", "dog", "emu", "owl"], "3 of them, got 4 (new 'emu')"),
        (["cat", "owl"], "3 of them, got 2 (gone 'dog')"),
        (list("stuvwxyz"), "3 of them, got 8 (new 's', 't', 'u' and 5 more; gone 'cat', 'dog'"),
    ],
)
def test_other_classes_are_refused_and_named(classes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=r"^classes must be those of the search, ") as caught:
        check_same_images(THREE, {**THREE, "classes": classes}, same=False)
    assert message in str(caught.value)


def test_exchanged_classes_are_told_by_their_first_images() -> None:
    exchanged = {**THREE, "samples": ["c", "b", "a"]}
    message = r"^classes must be those .*, got images of 'owl' in 'cat', 'cat' in 'owl'$"
    with pytest.raises(ValueError, match=message):
        check_same_images(THREE, exchanged, same=False)
    alike = {**THREE, "samples": ["a", "a", "c"]}  # of which nothing follows
    check_same_images(alike, {**THREE, "samples": ["b", "a", "c"]}, same=False)


def test_other_files_are_refused_where_a_search_goes_on_and_taken_where_it_does_not() -> None:
    other = {**THREE, "counts": [2, 2, 3], "fingerprint": "g"}
    check_same_images(THREE, other, same=False)
    message = r"^images must be those of the search, got others: 7 images where the search had 6$"
    with pytest.raises(ValueError, match=message):
        check_same_images(THREE, other, same=True)
    check_same_images(None, other, same=True)  # from before there were records


@pytest.mark.parametrize(
    "record",
    [3, {}, {**THREE, "classes": "abc"}, {**THREE, "counts": [1]}, {**THREE, "counts": [0] * 3}],
)
def test_what_is_no_record_is_refused_in_one_line(record: object) -> None:
    with pytest.raises(ValueError, match=r"^record of images must hold classes, counts, "):
        check_same_images(record, THREE, same=False)


def test_a_checkpoint_is_gone_on_from_with_the_same_images_only(pets: Path, tmp_path: Path) -> None:
    search = Search(own(pets))
    save_search(search, tmp_path)
    load_search(tmp_path)
    (pets / "cat").rename(pets / "zebra")
    with pytest.raises(ValueError, match=r"^classes must be .*\(new 'zebra'; gone 'cat'\)$"):
        load_search(tmp_path)
    (pets / "zebra").rename(pets / "cat")
    (pets / "cat" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"^images must be those .*29 images where .* had 30$"):
        load_search(tmp_path)
    assert load_search(tmp_path, same_images=False).images["counts"] == [8, 10, 11]


def test_a_checkpoint_from_before_there_were_records_is_gone_on_from(pets: Path) -> None:
    search = Search(own(pets))
    state = copy.deepcopy(search.state_dict())
    for name in ("images", "normalise", "statistics"):
        del state[name]
    search.load_state_dict(state)


def test_the_lines_of_a_config_say_what_was_read(pets: Path) -> None:
    config = own(pets, limit_images=20)
    lines = image_lines(config, load_images(config))
    assert lines == [
        'data: 20 of 30 images (limit_images=20) of 3 classes (smallest 9 "cat", largest 11 "owl", '
        "36.7 %), 8x8 RGB; 4 held out for validation"
    ]
