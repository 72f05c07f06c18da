"""A folder of class folders as a source, see :mod:`snas_tune.data.tree`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from snas_tune.data.collect import gather_files, images_of
from snas_tune.data.found import shown
from snas_tune.data.gather import NOTHING, Gathered, refuse_bad
from snas_tune.data.images import ImageSet
from snas_tune.data.request import Request
from snas_tune.data.scan import scan
from snas_tune.data.tree import Tree, grow


@dataclass(frozen=True, slots=True)
class Folder:
    """The source of one folder; links are followed, see :func:`snas_tune.data.scan.scan`."""

    path: Path

    def check(self, request: Request) -> None:
        """List the images and decode the first one of each class; all of them if one is bad."""
        tree, broken = self._listed(request)
        rows = np.unique(tree.labels, return_index=True)[1]
        checked = replace(request, bad_images="skip")
        bad = _gather(self.path, [tree.files[row] for row in rows], checked, broken).bad
        if bad and request.bad_images == "error":
            refuse_bad(_gather(self.path, tree.files, checked, broken).bad, request)

    def files(self, request: Request) -> list[Path]:
        """The image files."""
        return [self.path / name for name in self._listed(request)[0].files]

    def read(self, request: Request) -> ImageSet:
        """Decode all images.

        Raises:
            ValueError: see :func:`~snas_tune.data.tree.grow`; an image that cannot be read.
        """
        tree, broken = self._listed(request)
        gathered = _gather(self.path, tree.files, request, broken)
        return images_of(tree, gathered, request)

    def _listed(self, request: Request) -> tuple[Tree, dict[str, str]]:
        """The class folders, and the folders that cannot be listed with the reason."""
        entries = scan(self.path)
        broken = {
            f"{self.path / name}": f"folder must be readable, got {shown(self.path / name)} ({why})"
            for name, why in entries.broken.items()
        }
        return grow(self.path, entries, train=request.train), broken


def _gather(
    path: Path, names: Sequence[str], request: Request, broken: Mapping[str, str] = NOTHING
) -> Gathered:
    items = ((row, str(path / name), path / name) for row, name in enumerate(names))
    return gather_files(items, len(names), request, broken)
