"""The names of classes that a data set of the user's gives."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any


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
