"""Answers of a user's function that no one meant: names, labels, lengths and shapes in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snas_tune.data import ImageSet, load

ANSWERS = """
import itertools
import numpy as np
from collections import OrderedDict
from PIL import Image

IMAGES = np.full((4, 3, 3), 7, np.uint8)
BOTH = [0, 1, 0, 1]

class Own:
    def __init__(self, labels=BOTH, **own):
        self.labels = labels
        vars(self).update(own)
    def __len__(self): return len(self.labels)
    def __getitem__(self, i): return IMAGES[i], self.labels[i]

class Long(Own):
    def __len__(self): return 10**15

class Longest(Own):
    def __len__(self): return 2**63 - 1

def indices(): return Own(classes={"dog": 1, "cat": 0})
def numbers(): return Own(classes=OrderedDict([(1, "dog"), (0, "cat")]))
def array(): return Own(classes=np.array(["cat", "dog"]))
def gap(): return Own(classes={"dog": 2, "cat": 0})
def texts(): return Own(classes={"dog": "x", "cat": "y"})
def text(): return Own(classes="cat")
def twice(): return Own(classes=["a", "a"])
def endless(): return Own(classes=itertools.count())
def long(): return Long()
def longest(): return Longest()
def large(): return Own([0, 1, 0, 2**63 - 1])
def larger(): return Own([0, 1, 0, 2**63])
def large_array(): return IMAGES, np.array([0, 1, 0, 2**63 - 1])
def unsigned(): return IMAGES, np.array(BOTH, np.uint64)
def unsigned_large(): return IMAGES, np.array([0, 1, 0, 2**64 - 1], np.uint64)
def flat(): return np.zeros((20, 0, 8), np.uint8), np.arange(20) % 2
def flat_items(): return [(np.zeros((0, 8), np.uint8), i % 2) for i in range(4)]
def flat_pictures(): return [(Image.new("L", (8, 0)), i % 2) for i in range(4)]
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    name = f"answers_{tmp_path.name}"
    Path(f"{name}.py").write_text(ANSWERS)
    return name


@pytest.mark.parametrize("form", ["indices", "numbers", "array"])
def test_names_come_in_the_order_of_their_labels(own: str, form: str) -> None:
    data = load(f"{own}:{form}", root=".", image_size=8)
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("gap", "classes of {} must be names, got ValueError: a mapping without each label from 0"),
        ("texts", "classes of {} must be names, got ValueError: a mapping without each label from"),
        ("text", "classes of {} must be names, got ValueError: the text 'cat' in place of a list"),
        ("twice", "classes must have different names, got a 2 times in {}"),
        ("endless", "data must have at least as many images as classes, got 5 classes and 4 im"),
        ("long", "images must fit into memory, got 1,000,000,000,000,000"),
        ("longest", "images must fit into memory, got 9,223,372,036,854,775,807"),
        (
            "large",
            "label must be at most 4611686018427387904, got 9223372036854775807 (item 3 of {})",
        ),
        (
            "larger",
            "label must be at most 4611686018427387904, got 9223372036854775808 (item 3 of {})",
        ),
        ("large_array", "labels must be at most 4611686018427387904, got 9223372036854775807 ({})"),
        (
            "unsigned_large",
            "labels must be at most 4611686018427387904, got 18446744073709551615 ({})",
        ),
        ("flat", "images must have pixels, got shape (20, 0, 8) ({})"),
        ("flat_items", "images must have pixels, got shape (0, 8) (item 0 of {})"),
        ("flat_pictures", "images must have pixels, got size (8, 0) (item 0 of {})"),
    ],
)
def test_an_answer_that_holds_no_images_is_refused(own: str, form: str, line: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        load(f"{own}:{form}", root=".", image_size=8)
    assert line.format(f"{own}:{form}") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unsigned_labels_are_labels(own: str) -> None:
    assert load(f"{own}:unsigned", root=".", image_size=8).labels.tolist() == [0, 1, 0, 1]


def test_a_set_has_each_name_once() -> None:
    with pytest.raises(ValueError, match=r"^classes must have different names, got a 2 times$"):
        ImageSet(np.zeros((4, 1, 2, 2), np.uint8), np.arange(4) % 2, ("a", "b", "a"))
