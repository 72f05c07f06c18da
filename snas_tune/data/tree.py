"""Class folders: which files of a folder or archive are images, of which class and part."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from snas_tune.data.detection import detection_form
from snas_tune.data.entries import (
    TABLES,
    Entries,
    Parts,
    ending,
    hidden,
    left_out_words,
    parts_of,
    sort_out,
)
from snas_tune.data.found import UNLABELLED, LeftOut, few, left_out, of_no_part, shown
from snas_tune.data.images import Flags, Labels, require_classes
from snas_tune.data.parts import (
    TEST,
    TRAINING,
    VALIDATION,
    part_in,
    parts_among,
    refuse_lookalikes,
)
from snas_tune.data.request import NoTestImages


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """The images of class folders, not decoded."""

    where: Path
    """The folder or archive."""

    classes: tuple[str, ...]
    """The names of the class folders, sorted, in Unicode's composed form (NFC)."""

    files: tuple[str, ...]
    """Paths inside ``where``, with ``/``, sorted; validation images behind the training images."""

    labels: Labels
    """The class of each file."""

    validation: Flags | None = None
    """Which files the tree names as validation images; None where it names none."""

    parts: dict[str, str] = field(default_factory=dict)
    """The folder of each part, see :mod:`snas_tune.data.parts`."""

    left_out: dict[str, LeftOut] = field(default_factory=dict)
    """Files that are no images of a class, by kind."""

    notes: tuple[str, ...] = ()
    """More to say, one line each."""


def grow(where: Path, entries: Entries, *, train: bool) -> Tree:
    """Find the class folders and their images.

    A folder that holds everything is stepped into, as many archives have one. If there is a folder
    of training images, by the names of :mod:`snas_tune.data.parts`, beside one of validation or
    test images, or alone, the class folders are inside these, and the training images fix the
    classes. Below a class folder images may lie at any depth. Hidden files and folders, and those
    that systems and archivers add (``__MACOSX``), are left out.

    Args:
        where: the folder or archive.
        entries: the names in it.
        train: take the training images and the validation images, else the test images.

    Raises:
        ValueError: a class folder without an image, fewer than two classes, a test or validation
            class that has no training images, folders that look like parts under unknown names, or
            a set for detection.
        NoTestImages: test images where there are none with a class.
    """
    return _Names(where, entries).tree(train)


class _Names:
    """All names of a tree, sorted out."""

    def __init__(self, where: Path, entries: Entries) -> None:
        self.where = where
        self.images, self.others = sort_out(entries)
        self.files = [parts for name in entries.files if not hidden(parts := parts_of(name))]
        self.direct = {parts[:-1] for parts in self.images}
        """Folders with an image directly inside."""
        self.kept: dict[Parts, list[Parts]] = {}
        self.below: dict[Parts, set[str]] = defaultdict(set)
        """The names of the folders directly inside each folder."""
        folders = [parts for name in entries.folders if not hidden(parts := parts_of(name))]
        for parts in {*folders, *(file[:-1] for file in self.files)}:
            for depth in range(len(parts)):
                self.below[parts[:depth]].add(parts[depth])
        self.base = self._descend(())
        self.parts = self._parts()

    def tree(self, train: bool) -> Tree:
        classes = self._classes()
        if not train:
            self._require_test()
        asked = (TRAINING, VALIDATION) if train else (TEST,)
        for part in asked:
            self._check(part, classes)
        prefixes = [self.parts[part] for part in asked if part in self.parts]
        inside = [self._inside(prefix) for prefix in prefixes]
        index = {name: i for i, name in enumerate(classes)}
        files = [parts for group in inside for parts in group]
        labels = [
            index[composed(parts[len(prefix)])]
            for prefix, group in zip(prefixes, inside, strict=True)
            for parts in group
        ]
        found = np.array(labels, np.int64)
        try:
            require_classes(classes, found, self._path(prefixes[0]))
        except ValueError as error:
            raise ValueError(f"{error}{self._but()}") from error
        return Tree(
            where=self.where,
            classes=classes,
            files=tuple("/".join(parts) for parts in files),
            labels=found,
            validation=np.arange(len(files)) >= len(inside[0]) if len(prefixes) > 1 else None,
            parts=self._part_folders(),
            left_out=self._left_out(),
            notes=self._notes(),
        )

    def _descend(self, base: Parts) -> Parts:
        """The folder inside ``base`` that holds everything, unless it is a class folder."""
        while len(self.below[base]) == 1 and base not in self.direct:
            (name,) = self.below[base]
            deeper = (*base, name)
            if not self.below[deeper] or deeper in self.direct:
                break
            base = deeper
        return base

    def _parts(self) -> dict[str, Parts]:
        """The folder of the class folders of each part; of all of them where there are no parts."""
        tops = self.below[self.base]
        named = parts_among(tops, self._path(self.base)) if len(tops) > 1 else {}
        if len(named) < 2 or TRAINING not in named:
            return {TRAINING: self.base}
        found = {part: self._descend((*self.base, name)) for part, name in named.items()}
        classes = self._names(found[TRAINING])
        return {
            part: folder
            for part, folder in found.items()
            if part == TRAINING or classes & self._names(folder)
        }

    @property
    def _parted(self) -> bool:
        return self.parts != {TRAINING: self.base}

    def _part_folders(self) -> dict[str, str]:
        if not self._parted:
            return {}
        return {part: "/".join(folder) for part, folder in self.parts.items()}

    def _names(self, folder: Parts) -> set[str]:
        return {composed(name) for name in self.below[folder]}

    def _classes(self) -> tuple[str, ...]:
        """The training classes.

        Raises:
            ValueError: see :func:`grow`.
        """
        training = self.parts[TRAINING]
        tops = {name: self._descend((*training, name)) for name in self.below[training]}
        refuse_lookalikes(
            {name: self._names(folder) for name, folder in tops.items()},
            {name for name, folder in tops.items() if folder in self.direct},
            self._path(training),
        )
        classes = self._names(training)
        if not classes:
            raise ValueError(self._without_classes(training))
        if len(tops) == 1:
            self._refuse_flat(*tops.items())
        return tuple(sorted(classes))

    def _refuse_flat(self, top: tuple[str, Parts]) -> None:
        """Refuse an only folder that is called like a part, or has a table, as the one class."""
        name, folder = top
        if folder in self.direct and (part_in(name) or self._tables()):
            raise ValueError(self._without_classes(folder))

    def _check(self, part: str, classes: tuple[str, ...]) -> None:
        """Refuse classes of a part that have no training images or are empty."""
        if part not in self.parts:
            return
        folder = self.parts[part]
        if extra := self._names(folder) - set(classes):
            raise ValueError(
                f"{part} classes must be among the training classes, "
                f"got {few(extra)} in {self._path(folder)}"
            )
        self._refuse_empty(folder)

    def _refuse_empty(self, folder: Parts) -> None:
        filled = {parts[len(folder)] for parts in self._inside(folder)}
        empty = sorted(self.below[folder] - filled)
        if not empty:
            return
        self._refuse_detection()
        noun = "class folder" if len(empty) == 1 else "each class folder"
        places = few([self._path((*folder, name)) for name in empty])
        raise ValueError(f"{noun} must hold at least one image, got none in {places}{self._but()}")

    def _refuse_detection(self) -> None:
        if form := detection_form(self.files):
            raise ValueError(
                "data must be images with one class each, as class folders or a table of paths and "
                f"labels, got a set for detection in a form like {shown(form)} in "
                f"{shown(self.where)}"
            )

    def _without_classes(self, folder: Parts) -> str:
        """The error where there are no class folders."""
        self._refuse_detection()
        place = self._path(folder)
        if folder not in self.direct:
            return f"data must have at least two classes, got no images in {place}{self._but()}"
        tables = self._tables()
        found = f" ({few(tables)})" if tables else ""
        return (
            "images must be in one folder for each class, or in a table of paths and labels"
            f"{found}, got images without a class in {place}"
        )

    def _tables(self) -> list[str]:
        return ["/".join(name) for name in self.files if ending(name[-1]) in TABLES]

    def _require_test(self) -> None:
        if TEST in self.parts:
            return
        place = shown(self.where)
        named = parts_among(self.below[self.base], place)
        if TEST in named and TRAINING in named:
            raise NoTestImages(
                "test images must be in folders of the training classes, got none in "
                f"{self._path((*self.base, named[TEST]))}"
            )
        but = ""
        if VALIDATION in self.parts:
            but = f" but {'/'.join(self.parts[VALIDATION])}/, whose images are for validation,"
        raise NoTestImages(
            f"test images must be in test/ beside train/, got no such folders{but} in {place}"
        )

    def _inside(self, prefix: Parts) -> list[Parts]:
        """The images of the class folders in ``prefix``, sorted."""
        if prefix not in self.kept:
            depth = len(prefix)
            found = [p for p in self.images if len(p) > depth + 1 and p[:depth] == prefix]
            self.kept[prefix] = sorted(found, key=lambda parts: tuple(map(composed, parts)))
        return self.kept[prefix]

    def _left_out(self) -> dict[str, LeftOut]:
        """Images without a class, those of no part, and all that is no image, by kind."""
        used = {parts for prefix in self.parts.values() for parts in self._inside(prefix)}
        stray = [parts for parts in self.images if parts not in used]
        unknown = [parts for parts in stray if self._of_no_part(parts)]
        outside = {parts[: len(self.base) + 1] for parts in unknown}
        kinds = {
            UNLABELLED: [parts for parts in stray if not self._of_no_part(parts)],
            of_no_part("/".join(folder) for folder in outside): unknown,
        }
        named = {kind: ["/".join(parts) for parts in every] for kind, every in kinds.items()}
        return left_out({**self.others, **named})

    def _of_no_part(self, image: Parts) -> bool:
        """Whether an image lies beside the parts, in a folder that has the name of none."""
        depth = len(self.base)
        return self._parted and len(image) > depth + 1 and part_in(image[depth]) is None

    def _but(self) -> str:
        words = left_out_words(left_out(self.others))
        return f" ({words} left out)" if words else ""

    def _notes(self) -> tuple[str, ...]:
        spelled = self.below[self.parts[TRAINING]]
        notes = []
        twice = _groups(spelled, composed)
        notes += [f"class folder {shown(name)} has {n} spellings, read as one" for name, n in twice]
        cased = _groups({composed(name) for name in spelled}, str.casefold)
        notes += [f"{n} classes differ from {shown(name)} by case only" for name, n in cased]
        return tuple(notes)

    def _path(self, folder: Parts) -> str:
        return shown(self.where.joinpath(*folder))


def composed(name: str) -> str:
    """A name in Unicode's composed form, as systems differ in the form that they write."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _groups(names: Iterable[str], key: Callable[[str], str]) -> list[tuple[str, int]]:
    """The keys that two names or more have, with the number of those."""
    counts = Counter(map(key, names))
    return [(name, count) for name, count in sorted(counts.items()) if count > 1]
