"""Functions that return training and test images at once, labels with gaps, and bad images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_trees import encoded, first_pixels, write_folder

from snas_tune.data import NoTestImages, load, load_test
from snas_tune.data.found import LeftOut

SETS = """
import io
import numpy as np
from pathlib import Path
from PIL import Image
A = np.full((4, 3, 3), 7, np.uint8), np.array([0, 1, 0, 1])
B = np.full((3, 3, 3), 9, np.uint8), np.array([1, 0, 1])
def pairs(set_): return list(zip(*set_))
class Own:
    classes = ["cat", "dog"]
    def __init__(self, set_): self.set = set_
    def __len__(self): return len(self.set[0])
    def __getitem__(self, i): return self.set[0][i], int(self.set[1][i])
def arrays(): return A, B
def lists(): return pairs(A), pairs(B)
def data_sets(): return Own(A), Own(B)
def mixed(): return Own(A), pairs(B)
def with_train(train): return A, B
def lists_of_arrays(): return (A[0], A[1].tolist()), (B[0], B[1].tolist())
def two_items(): return (A[0][0], 0), (A[0][1], 1)
def three(): return A, B, B
def named(): return {"train": A, "test": B}
def one_set(): return A
def texts(): return "cats", "dogs"
def gaps(): return np.zeros((10, 3, 3), np.uint8), np.arange(10) % 5 + 1
def opened(i): return Image.open(io.BytesIO(Path(f"{i}.bmp").read_bytes()))
def files(): return [(opened(i), i % 2) for i in range(5)]
"""

FORMS = (
    r"must return a data set of pairs \(image, label\), a tuple of two arrays \(images, labels\), "
    r"or a tuple of two such sets \(training, test\), got "
)


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    name = f"own_{tmp_path.name}"
    Path(f"{name}.py").write_text(SETS)
    return name


@pytest.mark.parametrize(
    "form", ["arrays", "lists", "data_sets", "mixed", "with_train", "lists_of_arrays"]
)
def test_training_and_test_images_may_be_returned_at_once(own: str, form: str) -> None:
    train, test = load(f"{own}:{form}", root="."), load_test(f"{own}:{form}", root=".")
    assert first_pixels(train) == [7] * 4
    assert train.labels.tolist() == [0, 1, 0, 1]
    assert first_pixels(test) == [9] * 3
    assert test.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("form", "got"),
    [
        ("two_items", r"a tuple of tuple and tuple$"),
        ("three", r"tuple of 3$"),
        ("named", r"dict$"),
        ("texts", r"a tuple of str and str$"),
    ],
)
def test_other_forms_are_refused_with_those_that_are_read(own: str, form: str, got: str) -> None:
    with pytest.raises(ValueError, match=rf"^{own}:{form} {FORMS}{got}"):
        load(f"{own}:{form}", root=".")


def test_one_set_alone_has_no_test_images(own: str) -> None:
    assert len(load(f"{own}:one_set", root=".")) == 4
    with pytest.raises(NoTestImages, match=r"or return \(training, test\), to give test images$"):
        load_test(f"{own}:one_set", root=".")


def test_a_number_without_images_stays_a_class_and_is_named(own: str) -> None:
    data = load(f"{own}:gaps", root=".")
    assert data.classes == ("0", "1", "2", "3", "4", "5")
    assert np.unique(data.labels).tolist() == [1, 2, 3, 4, 5]
    assert data.found is not None
    assert data.found.empty == ("0",)


def test_images_of_a_function_that_cannot_be_read_are_named_at_once_or_left_out(own: str) -> None:
    contents = [encoded(10 * (i + 1), kind="BMP") for i in range(5)]
    cut = {1: contents[1][:-10], 4: contents[4][:-10]}
    write_folder(Path(), {f"{i}.bmp": cut.get(i, one) for i, one in enumerate(contents)})
    with pytest.raises(ValueError, match=r"^all images must be readable, got 2 .*item 1.*item 4"):
        load(f"{own}:files", root=".")
    data = load(f"{own}:files", root=".", bad_images="skip")
    assert first_pixels(data) == [10, 30, 40]
    assert data.labels.tolist() == [0, 0, 1]
    assert data.found is not None
    names = tuple(f"item {i} of {own}:files" for i in (1, 4))
    assert data.found.left_out == {"unreadable": LeftOut(2, names)}
