"""The names of classes: those that a user's data set gives, and what all of them must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snas_tune.data.found import shown


def names_of(given: Any, most: int) -> tuple[str, ...]:
    """The names of classes in the order of their labels.

    Args:
        given: names in their order; or a mapping of names to labels, as ``class_to_idx`` of
            torchvision, or of labels to names.
        most: no more than one name above this number is drawn, as there may be no end.

    Raises:
        ValueError: a single text, or a mapping whose labels are not those from 0 on.
        TypeError: nothing that can be listed.
    """
    if isinstance(given, str | bytes):
        raise ValueError(f"the text {given[:100]!r} in place of a list")
    if isinstance(given, Mapping):
        return _by_label(given)
    drawn = given if isinstance(given, list | tuple) else islice(given, most + 1)
    return tuple(map(str, drawn))


def _by_label(given: Mapping[Any, Any]) -> tuple[str, ...]:
    pairs = [(label, name) for name, label in given.items()]
    for every in (pairs, [(name, label) for label, name in pairs]):
        labels = [label for label, _ in every]
        if all(isinstance(label, int) for label in labels):
            if sorted(labels) != list(range(len(labels))):
                break
            return tuple(str(name) for _, name in sorted(every, key=lambda pair: pair[0]))
    raise ValueError("a mapping without each label from 0 on once")


def require_classes(
    classes: Sequence[str] | range, labels: npt.NDArray[np.int64], where: str | Path = ""
) -> None:
    """Refuse labels from which nothing can be learned.

    Args:
        classes: the names of the classes, or their range where labels are their own names.
        labels: shape (N,), indices into ``classes``.
        where: the path or spec that the message names, if any.

    Raises:
        ValueError: no image, a label outside the classes, two classes of one name, fewer than two
            classes that have an image, or more classes than images.
    """
    place = f" in {where}" if str(where) else ""
    if not len(labels):
        raise ValueError(f"data must have at least two classes, got no images{place}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise ValueError(
            f"labels must be from 0 to {len(classes) - 1}, "
            f"got {int(labels.min())} to {int(labels.max())}{place}"
        )
    if not isinstance(classes, range) and len(set(classes)) < len(classes):
        name, times = Counter(classes).most_common(1)[0]
        raise ValueError(
            f"classes must have different names, got {shown(name)} {times} times{place}"
        )
    present = np.unique(labels)
    if len(present) < 2:
        only = [str(classes[int(present[0])])]
        raise ValueError(f"data must have at least two classes, got 1 ({only}){place}")
    if len(classes) > len(labels):
        raise ValueError(
            "data must have at least as many images as classes, "
            f"got {len(classes)} classes and {len(labels)} images{place}"
        )
