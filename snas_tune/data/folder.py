"""A folder of class folders as a source, see :mod:`snas_tune.data.tree`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snas_tune.data.gather import gather
from snas_tune.data.images import ImageSet, Pixels, open_image
from snas_tune.data.request import Request
from snas_tune.data.tree import Tree, grow


def folder_tree(path: Path, *, train: bool) -> Tree:
    """The class folders of a folder; links are followed.

    Raises:
        ValueError: see :func:`~snas_tune.data.tree.grow`.
    """
    files, folders = [], []
    for current, below, names in os.walk(path, followlinks=True):
        inside = Path(current).relative_to(path).as_posix()
        below[:] = [name for name in below if not name.startswith(".")]
        folders += [f"{inside}/{name}" for name in below]
        files += [f"{inside}/{name}" for name in names]
    return grow(path, files, folders, train=train, unwrap=False)


@dataclass(frozen=True, slots=True)
class Folder:
    """The source of one folder."""

    path: Path

    def check(self, request: Request) -> None:
        """List the images and decode the first one of each class."""
        tree = folder_tree(self.path, train=request.train)
        rows = np.unique(tree.labels, return_index=True)[1]
        names = [tree.files[row] for row in rows]
        _gather(self.path, names, request)

    def files(self, request: Request) -> list[Path]:
        """The image files."""
        return [self.path / name for name in folder_tree(self.path, train=request.train).files]

    def read(self, request: Request) -> ImageSet:
        """Decode all images.

        Raises:
            ValueError: see :func:`~snas_tune.data.tree.grow`; an image that cannot be read.
        """
        tree = folder_tree(self.path, train=request.train)
        return ImageSet(_gather(self.path, tree.files, request), tree.labels, tree.classes)


def _gather(path: Path, names: Sequence[str], request: Request) -> Pixels:
    items = ((row, str(path / name), path / name) for row, name in enumerate(names))
    return gather(
        items,
        len(names),
        lambda file, name: open_image(file, name, request.image_size),
        request,
    )
