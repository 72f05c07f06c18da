"""The images that a config names, and the line for images that no search can use."""

from __future__ import annotations

import pytest

from snas_tune.config import SearchConfig
from snas_tune.search.images import load_images


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
