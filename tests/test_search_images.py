"""The images that a config names, and the line for images that no search can use."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet, split_rows
from snas_tune.export.program import export_network
from snas_tune.search.images import load_images
from snas_tune.search.search import Search
from snas_tune.training.batches import split_images


def test_a_class_of_one_image_is_named_with_its_source(tmp_path, monkeypatch):
    (tmp_path / "lonely_images.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    return np.zeros((4, 1, 4, 4), np.uint8), np.array([0, 0, 0, 1])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    message = "^class '1' must have at least two images, got 1 in lonely_images:load$"
    with pytest.raises(ValueError, match=message):
        load_images(SearchConfig(data="lonely_images:load"))


def test_images_that_are_not_square_are_refused_with_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "oblong_images.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    return np.zeros((4, 1, 6, 4), np.uint8), np.arange(4) % 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = SearchConfig(data="oblong_images:load")
    with pytest.raises(
        ValueError,
        match=r"^images of oblong_images:load must be square, got 6 x 4: set image_size$",
    ):
        load_images(config)


def test_the_images_are_those_that_the_config_names():
    digits = load_images(SearchConfig(image_size=6, image_channels=3))
    assert digits.images.shape == (1442, 3, 6, 6)  # the training part of the digits


def test_images_of_five_channels_are_searched_varied_and_exported(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 5, 8, 8), np.uint8)
    images = ImageSet(pixels, np.arange(60) % 3, ("a", "b", "c"))
    own = {"limit_images": None, "crop_padding": 1, "flip": True, "cutout": 2, "drop_path": 0.1}
    search = Search(SearchConfig(**{**TINY, **own}), images)
    search.take_step()
    child = search.child()
    assert 0 <= search.child_accuracy(child) <= 1
    export_network(
        child,
        tmp_path / "child.pt2",
        normalise=search.data.normalise,
        side=8,
        classes=images.classes,
        architecture=search.derive().to_json(),
    )
    program = torch.export.load(tmp_path / "child.pt2").module()
    assert program(torch.from_numpy(pixels[:7])).shape == (7, 3)


def test_the_sources_own_validation_images_are_the_validation_part():
    given = np.arange(60) % 4 == 3
    labels = np.arange(60) % 3
    images = ImageSet(np.zeros((60, 1, 4, 4), np.uint8), labels, ("a", "b", "c"), validation=given)
    data = split_images(images, torch.device("cpu"), validation_fraction=0.5)
    assert data.validation.labels.tolist() == labels[given].tolist()
    assert data.train.labels.tolist() == labels[~given].tolist()
    train, validation = split_rows(labels, given, validation_fraction=0.5, seed=0, limit=20)
    assert (len(train), len(validation)) == (15, 5)
    assert not given[train].any()
    assert given[validation].all()
