"""Labels as texts, in parts or in one: the classes, and the rows that are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from snas_tune.data.found import UNLABELLED, LeftOut, left_out, shown
from snas_tune.data.images import Flags, Labels, require_classes
from snas_tune.data.parts import TEST, TRAINING, VALIDATION, known_names, parts_among
from snas_tune.data.request import NoTestImages
from snas_tune.data.split import Indices
from snas_tune.data.tree import composed

MOST_LETTERS = 1000
"""Most characters of a label."""

WHOLE = re.compile(r"-?\d+")
FLOATS = re.compile(r"-?\d+\.0")


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The rows of a table or data set that are asked for, and their classes."""

    where: str
    """The table or data set, for messages."""

    rows: Indices
    """Shape (N,), ascending."""

    classes: tuple[str, ...]

    labels: Labels
    """Shape (N,), indices into ``classes``."""

    validation: Flags | None
    """Shape (N,), which are validation images; None where the source names none."""

    parts: dict[str, str]
    """The source's name of each part."""

    left_out: dict[str, LeftOut] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def choose_rows(
    where: str,
    labels: Sequence[str | None],
    splits: Sequence[str | None] | None,
    *,
    train: bool,
    classes: tuple[str, ...] | None = None,
    place: Callable[[int], str] = "row {}".format,
) -> Chosen:
    """The rows of the training and validation images, or of the test images.

    Rows without a label are left out.

    Args:
        where: the table or data set, for messages.
        labels: of each row, as text.
        splits: the part of each row by one of its usual names; None where there are no parts.
        train: take the training images and the validation images, else the test images.
        classes: the names of all classes; those of the training images if None. Whole numbers come
            in their order, texts in the order of their letters.
        place: where a row is, for messages.

    Raises:
        ValueError: a label is too long, a part has another name than those of
            :mod:`snas_tune.data.parts`, none is for training, one has a class that has no training
            images, or there are fewer than two classes.
        NoTestImages: test images where there are none.
    """
    parts = _parts(where, splits)
    of_part = _masks(splits, parts, len(labels))
    labelled = np.array([label is not None for label in labels], bool)
    training = of_part[TRAINING] & labelled
    if classes is None:
        labels = [_class_of(label, where) for label in labels]
        classes = sorted_classes({str(labels[i]) for i in np.flatnonzero(training).tolist()})
    if not train and not (TEST in of_part and np.any(of_part[TEST] & labelled)):
        raise NoTestImages(f"test images must be in a part test, got none in {where}")
    asked = [
        of_part[part] for part in ((TRAINING, VALIDATION) if train else (TEST,)) if part in of_part
    ]
    rows = np.flatnonzero(np.any(asked, axis=0) & labelled)
    index = {name: i for i, name in enumerate(classes)}
    if extra := {str(labels[i]) for i in rows.tolist()} - index.keys():
        raise ValueError(
            f"all classes must be among the training classes, got {shown(min(extra))} in {where}"
        )
    found = np.array([index[str(labels[i])] for i in rows.tolist()], np.int64)
    require_classes(classes, found, where)
    without = map(place, np.flatnonzero(np.any(asked, axis=0) & ~labelled).tolist())
    given = of_part[VALIDATION][rows] if train and VALIDATION in of_part else None
    if given is not None and not given.any():  # such as a part without labels
        given = None
    return Chosen(where, rows, classes, found, given, parts, left_out({UNLABELLED: without}))


def _class_of(label: str | None, where: str) -> str | None:
    """The class that a label names, in the form in which folders' names are compared, too."""
    if label is None or len(label) <= MOST_LETTERS:
        return None if label is None else composed(label)
    raise ValueError(
        f"a label must have at most {MOST_LETTERS} characters, got {len(label):,} in {where}"
    )


def sorted_classes(labels: Collection[str]) -> tuple[str, ...]:
    """Labels as names of classes: numbers in their order, other texts in the order of letters."""
    whole = all(WHOLE.fullmatch(label) for label in labels)
    return tuple(sorted(labels, key=(lambda label: (int(label), label)) if whole else None))


def without_point(labels: Sequence[str | None]) -> Sequence[str | None]:
    """Labels without ``.0`` where all have it, as pandas writes whole numbers beside gaps."""
    if not all(label is None or FLOATS.fullmatch(label) for label in labels):
        return labels
    return [None if label is None else label[:-2] for label in labels]


def _parts(where: str, splits: Sequence[str | None] | None) -> dict[str, str]:
    """The names of the parts that occur."""
    if splits is None:
        return {}
    names = {name for name in splits if name is not None}
    parts = parts_among(names, where)
    unknown = sorted(names - set(parts.values())) or (["none"] if None in splits else [])
    if unknown:
        raise ValueError(
            f"parts must have these names: {known_names()}, got {shown(unknown[0])} in {where}"
        )
    if TRAINING not in parts:
        raise ValueError(
            f"parts must have one of training images, got {', '.join(sorted(names))} in {where}"
        )
    return parts


def _masks(
    splits: Sequence[str | None] | None, parts: dict[str, str], count: int
) -> dict[str, Flags]:
    """Which rows are of each part."""
    if splits is None:
        return {TRAINING: np.ones(count, bool)}
    return {
        part: np.array([split == name for split in splits], bool) for part, name in parts.items()
    }
