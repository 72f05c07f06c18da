"""Class folders: which files of a folder or archive are images, and of which class."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from snas_tune.data.images import Labels, require_classes
from snas_tune.data.request import NoTestImages

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)
"""Files that count as images, in any case of letters; all others are ignored."""

TRAIN = "train"
TESTS = ("test", "val")
"""The folders of test images, the first that exists is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """The images of class folders, not decoded."""

    where: Path
    """The folder or archive."""

    classes: tuple[str, ...]
    """The names of the class folders, sorted."""

    files: tuple[str, ...]
    """Paths inside ``where``, with ``/``, sorted."""

    labels: Labels
    """The class of each file."""


def grow(
    where: Path, files: Collection[str], folders: Collection[str], *, train: bool, unwrap: bool
) -> Tree:
    """Find the class folders and their images.

    If there are ``train/`` and ``test/`` (or ``val/``) the class folders are inside these, and
    ``train/`` fixes the classes. Below a class folder images may lie at any depth. Hidden files
    and folders, and those that archivers add (``__MACOSX``), are ignored.

    Args:
        where: the folder or archive.
        files: paths of all its files, relative, with ``/``.
        folders: paths of all its folders, in the same form.
        train: take the training images, else the images of ``test/`` (or ``val/``).
        unwrap: step into a folder that holds everything, as many archives have one.

    Raises:
        ValueError: a class folder without an image, fewer than two classes, or a test class that
            has no training images.
        NoTestImages: test images where there are none.
    """
    paths = [_parts(name) for name in files]
    kept = [parts for parts in paths if _visible(parts)]
    known = {parts for parts in map(_parts, folders) if _visible(parts)}
    known |= {parts[:depth] for parts in kept for depth in range(1, len(parts))}
    images = [parts for parts in kept if PurePosixPath(parts[-1]).suffix.lower() in EXTENSIONS]
    base = _base(known, images) if unwrap else ()
    prefix = base + _split_folder(where, _below(known, base), train=train)
    classes = tuple(_below(known, prefix))
    if not train:
        training = _below(known, (*base, TRAIN))
        for extra in classes:
            if extra not in training:
                raise ValueError(
                    f"test classes must be among the training classes, got {extra} in {where}"
                )
        classes = tuple(training)
    return _tree(where, prefix, classes, images, present=_below(known, prefix))


def _tree(
    where: Path,
    prefix: tuple[str, ...],
    classes: tuple[str, ...],
    images: list[tuple[str, ...]],
    present: list[str],
) -> Tree:
    index = {name: i for i, name in enumerate(classes)}
    depth = len(prefix)
    inside = sorted(p for p in images if len(p) > depth + 1 and p[:depth] == prefix)
    labels = np.array([index[parts[depth]] for parts in inside], np.int64)
    filled = {classes[i] for i in np.unique(labels)}
    for name in present:
        if name not in filled:
            folder = where.joinpath(*prefix, name)
            raise ValueError(f"class folder must hold at least one image, got none in {folder}")
    require_classes(classes, labels, where.joinpath(*prefix))
    return Tree(where, classes, tuple("/".join(parts) for parts in inside), labels)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _visible(parts: tuple[str, ...]) -> bool:
    return bool(parts) and not any(p.startswith(".") or p == "__MACOSX" for p in parts)


def _below(known: set[tuple[str, ...]], base: tuple[str, ...]) -> list[str]:
    """The names of the folders directly inside ``base``, sorted."""
    depth = len(base)
    return sorted(p[depth] for p in known if len(p) == depth + 1 and p[:depth] == base)


def _base(known: set[tuple[str, ...]], images: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The folder that holds everything, unless it is itself a class folder."""
    base: tuple[str, ...] = ()
    while True:
        inside = _below(known, base)
        if len(inside) != 1:
            return base
        deeper = (*base, inside[0])
        if not _below(known, deeper) or any(parts[:-1] == deeper for parts in images):
            return base
        base = deeper


def _split_folder(where: Path, tops: list[str], *, train: bool) -> tuple[str, ...]:
    tests = [name for name in TESTS if name in tops]
    split = TRAIN in tops and (bool(tests) or tops == [TRAIN])
    if train:
        return (TRAIN,) if split else ()
    if not split or not tests:
        raise NoTestImages(
            f"test images must be in test/ or val/ beside train/, got no such folders in {where}"
        )
    return (tests[0],)
