"""1,797 real handwritten digits of 8 x 8 pixels that come with the package.

"Optical Recognition of Handwritten Digits" by Ethem Alpaydin and Cenk Kaynak, UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, CC BY 4.0; ``digits_LICENSE.txt`` lists the
changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from snas_tune.data.gather import fit_arrays
from snas_tune.data.images import ImageSet, Labels
from snas_tune.data.request import Request

TEST_EVERY = 5
"""Every fifth image of each class, in the order of the file, is a test image."""


def held_out(labels: Labels) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which images are test images: the fifth, tenth, ... of each class; shape (N,), bool."""
    test = np.zeros(len(labels), bool)
    for name in np.unique(labels):
        test[np.flatnonzero(labels == name)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return test


@dataclass(frozen=True, slots=True)
class Digits:
    """The source ``digits``. The source itself has no test split that belongs to these images."""

    def check(self, request: Request) -> None:
        """Nothing can be missing."""

    def files(self, request: Request) -> list[Path]:
        """None: the images change with the package alone."""
        return []

    def read(self, request: Request) -> ImageSet:
        """1,442 training or 355 test images, values 0 to 16 of the source scaled to 0 to 255."""
        file = resources.files("snas_tune.data").joinpath("digits.npz")
        with file.open("rb") as stream, np.load(stream) as arrays:
            images, labels = arrays["images"], arrays["labels"].astype(np.int64)
        chosen = held_out(labels) != request.train
        return ImageSet(
            fit_arrays(images[chosen][:, None], request),
            labels[chosen],
            tuple(str(digit) for digit in range(10)),
        )
