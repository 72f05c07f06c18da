"""Data sets of Hugging Face's library, saved in folders; the hub itself is not asked."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from image_trees import encoded, first_pixels, refusal, write_folder

from snas_tune.data import NoTestImages, check, load, load_test
from snas_tune.data.hub import class_names, image_column, is_saved, known_splits, label_column
from snas_tune.data.sources import resolve

NAMES = ["ant", "bee", "cat"]


@pytest.fixture
def datasets() -> Any:
    library = pytest.importorskip("datasets")
    library.disable_progress_bars()
    return library


def data_set(datasets: Any, values: list[int], labels: list[Any], feature: Any = None) -> Any:
    features = datasets.Features(
        {"image": datasets.Image(), "label": feature or datasets.ClassLabel(names=NAMES)}
    )
    images = [{"bytes": encoded(value), "path": None} for value in values]
    return datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)


def test_a_saved_data_set_is_read_with_the_names_of_its_classes(
    datasets: Any, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    data_set(datasets, [10, 20, 30, 40], [0, 2, 0, 2]).save_to_disk(str(saved))
    check(str(saved), root=".")
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        data = load(str(saved), root=".", cache_dir=cache)
        assert data.classes == tuple(NAMES)
        assert first_pixels(data) == [10, 20, 30, 40]
        assert data.labels.tolist() == [0, 2, 0, 2]
        assert data.found is not None
        assert data.found.empty == ("bee",)
    with pytest.raises(NoTestImages, match=r"^test images must be in a part test, got none in "):
        load_test(str(saved), root=".")


def test_its_splits_are_parts_and_others_are_left_out(datasets: Any, tmp_path: Path) -> None:
    parts = {
        "train": data_set(datasets, [10, 20, 30], [0, 1, 2]),
        "validation": data_set(datasets, [40, 50], [0, 1]),
        "test": data_set(datasets, [60, 70, 90], [2, 1, 1]),
        "extra": data_set(datasets, [80], [0]),
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    data = load(str(tmp_path / "saved"), root=".")
    assert first_pixels(data) == [10, 20, 30, 40, 50]
    assert data.validation is not None
    assert data.validation.tolist() == [False] * 3 + [True] * 2
    assert data.found is not None
    assert data.found.left_out["split extra"].count == 1
    test = load_test(str(tmp_path / "saved"), root=".")
    assert (first_pixels(test), test.labels.tolist()) == ([60, 70, 90], [2, 1, 1])


@pytest.mark.parametrize(
    ("kind", "labels", "classes"),
    [
        ("string", ["dog", "cat", "dog"], ("cat", "dog")),
        ("int64", [10, 9, 10], ("9", "10")),
    ],
)
def test_labels_may_be_texts_or_numbers(
    datasets: Any, tmp_path: Path, kind: str, labels: list[Any], classes: tuple[str, ...]
) -> None:
    saved = data_set(datasets, [1, 2, 3], labels, datasets.Value(kind))
    saved.save_to_disk(str(tmp_path / "saved"))
    data = load(str(tmp_path / "saved"), root=".")
    assert (data.classes, data.labels.tolist()) == (classes, [1, 0, 1])


def test_bad_images_are_named_or_left_out(datasets: Any, tmp_path: Path) -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    )
    contents = [encoded(10), encoded(20), encoded(30)[:50], b"no", encoded(40)]
    images = [{"bytes": content, "path": None} for content in contents]
    saved = datasets.Dataset.from_dict(
        {"image": images, "label": [0, 1, 0, 1, 0]}, features=features
    )
    saved.save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(
        ValueError, match=r"^all images must be readable, got 2 that are not: row 2"
    ):
        load(str(tmp_path / "saved"), root=".")
    assert first_pixels(load(str(tmp_path / "saved"), root=".", bad_images="skip")) == [10, 20, 40]


def test_a_function_may_return_a_data_set_of_the_library(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_set(datasets, [10, 20, 30], [0, 1, 2]).save_to_disk(str(tmp_path / "saved"))
    monkeypatch.chdir(tmp_path)
    Path("own_hub.py").write_text(
        "import datasets\n"
        "def both():\n    one = datasets.load_from_disk('saved')\n"
        "    return datasets.DatasetDict({'train': one, 'test': one})\n"
        "def parts(train):\n    return datasets.load_from_disk('saved')\n"
    )
    for name in ("both", "parts"):
        for ask in (load, load_test):
            data = ask(f"own_hub:{name}", root=".")
            assert (data.classes, first_pixels(data)) == (tuple(NAMES), [10, 20, 30])


def test_a_broken_data_set_is_named_in_one_line(datasets: Any, tmp_path: Path) -> None:
    data_set(datasets, [1, 2], [0, 1]).save_to_disk(str(tmp_path))
    (tmp_path / "data-00000-of-00001.arrow").write_bytes(b"no")
    start = f"data set must be readable by the package datasets, got {tmp_path} ("
    assert refusal(tmp_path).startswith(start)


def test_the_command_that_installs_the_library_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    message = "the package datasets must be installed (pip install 'snas_tune[datasets]') for "
    write_folder(tmp_path, {"dataset_dict.json": b"{}"})
    assert refusal("hf:ylecun/mnist").startswith(message + "hf:ylecun/mnist, got ")
    assert refusal("hf:mnist").startswith(message)
    assert refusal(tmp_path).startswith(message)


class Library:
    """In place of the library: notes what it is asked for."""

    asked: tuple[str, ...] = ()

    def load_dataset(self, *names: str) -> Any:
        self.asked = names
        raise ConnectionError("no\nnetwork")


@pytest.mark.parametrize(
    ("spec", "asked"),
    [("hf:ylecun/mnist", ("ylecun/mnist",)), ("hf:a/b:plain_text", ("a/b", "plain_text"))],
)
def test_a_name_on_the_hub_is_asked_for(
    spec: str, asked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library()
    monkeypatch.setattr(importlib, "import_module", lambda name: library)
    check(spec, root=".")  # without the network
    message = (
        rf"^data set must be readable by the package datasets, got {spec} \(Conn.*Error: no\)$"
    )
    with pytest.raises(ValueError, match=message):
        load(spec, root=".")
    assert library.asked == asked


def feature(kind: str, **values: Any) -> Any:
    return type(kind, (), values)()


LABEL = feature("ClassLabel", names=NAMES)


def test_columns_are_found_by_their_features() -> None:
    image, value = feature("Image"), feature("Value")
    assert image_column({"x": image, "y": value}, "w") == "x"
    assert image_column({"mask": image, "image": image}, "w") == "image"
    assert label_column({"image": image, "pet": LABEL, "width": value}, "w") == "pet"
    assert label_column({"fine_label": LABEL, "coarse_label": LABEL}, "w") == "fine_label"
    assert label_column({"image": image, "target": value}, "w") == "target"
    assert class_names(value) is None
    with pytest.raises(
        ValueError, match=r"^data set must have a column of images, got y \(Value\)"
    ):
        image_column({"y": value}, "w")
    message = (
        r"^data set must have one column of labels \(label, .*\), got a \(ClassLabel\), b \(Cl"
    )
    with pytest.raises(ValueError, match=message):
        label_column({"a": LABEL, "b": LABEL}, "w")


def test_a_split_that_stands_alone_is_for_training() -> None:
    assert known_splits({"full": 0}, "w") == {"training": "full"}
    assert known_splits({"train": 0, "dev": 0, "x": 0}, "w") == {
        "training": "train",
        "validation": "dev",
    }


def test_a_saved_data_set_is_told_from_a_folder_of_classes(tmp_path: Path) -> None:
    assert not is_saved(write_folder(tmp_path, {"state.json": b"{}"}))
    assert is_saved(write_folder(tmp_path, {"dataset_info.json": b"{}"}))
    assert type(resolve(str(tmp_path), tmp_path)).__name__ == "Hub"
