"""The record of a reading: how many images of which classes, and which files were left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

EXAMPLES = 10
"""Names that are kept of each kind that was left out."""

UNREADABLE = "unreadable"
"""Images that cannot be decoded, and folders that cannot be listed, left out by ``bad_images``."""

HIDDEN = "hidden"
"""Hidden files and those of systems and archivers, such as ``Thumbs.db`` and ``__MACOSX``."""

OUTSIDE = "outside the archive"
"""Names in an archive that lead out of it: absolute ones, and those with ``..``."""

REPEATED = "named twice"
"""Earlier entries of a name that an archive or a table has again."""

LINKED = "linked twice"
"""Links to folders that are read under another name, or that hold the data's own folder."""

SPECIAL = "special"
"""Pipes, sockets and devices, and in archives links and their like."""

UNLABELLED = "without a class"
"""Images beside class folders, and those of a part without the training classes."""

SKIPPING = 'bad_images="skip" (--bad-images skip) leaves them out'
"""What may be done about images that cannot be used, for messages."""

ROW = re.compile(r"(?:line|row) (\d+)")
"""The name of a row of a table begins so."""

HINTS: Mapping[str, str] = MappingProxyType(
    {
        ".heic": "pip install pillow-heif",
        ".heif": "pip install pillow-heif",
        ".avif": "pip install -U pillow",
        ".jp2": "pip install -U pillow",
    }
)
"""For endings that Pillow cannot read here: the command that lets it."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Files of one kind that were left out."""

    count: int
    """Their number."""

    examples: tuple[str, ...]
    """The first few names, sorted, on one line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The contents of one source, as they were read."""

    spec: str
    """The source: a name, a path, or ``module:function``."""

    classes: tuple[str, ...]
    """The names of the classes."""

    counts: tuple[int, ...]
    """Images of each class, given validation images included."""

    channels: int
    """Of the images as they were converted."""

    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
    """Width and height of the smallest and the largest image before any resizing; None where they
    are not known."""

    validation: int = 0
    """Images among ``counts`` that the source itself names as validation images."""

    parts: Mapping[str, str] = field(default_factory=dict)
    """The folder, or the value of the split column, of ``training``, ``validation`` and ``test``
    images; empty where the source has no such parts."""

    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    """Files that were left out, by kind: an ending such as ``.heic`` (``no ending``), or one of the
    names of this module."""

    notes: tuple[str, ...] = ()
    """More to say, one line each."""

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(self.counts)

    @property
    def smallest(self) -> tuple[str, int]:
        """Name and images of the smallest class."""
        return min(zip(self.classes, self.counts, strict=True), key=lambda pair: pair[1])

    @property
    def largest(self) -> tuple[str, int]:
        """Name and images of the largest class."""
        return max(zip(self.classes, self.counts, strict=True), key=lambda pair: pair[1])

    @property
    def empty(self) -> tuple[str, ...]:
        """The classes without images."""
        pairs = zip(self.classes, self.counts, strict=True)
        return tuple(name for name, count in pairs if not count)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, of types that JSON knows."""
        left_out = {kind: [one.count, list(one.examples)] for kind, one in self.left_out.items()}
        return {
            **{name: getattr(self, name) for name in self.__slots__},
            "parts": dict(self.parts),
            "left_out": left_out,
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Found:
        """A record from :meth:`to_dict`, also after JSON has made lists of its tuples."""
        sizes = values["sizes"]
        left_out = values["left_out"].items()
        return Found(
            **{
                **values,
                "classes": tuple(values["classes"]),
                "counts": tuple(values["counts"]),
                "sizes": None if sizes is None else (tuple(sizes[0]), tuple(sizes[1])),
                "left_out": {kind: LeftOut(n, tuple(names)) for kind, (n, names) in left_out},
                "notes": tuple(values["notes"]),
            }
        )


def counts_of(labels: npt.NDArray[np.int64], classes: Sequence[str]) -> tuple[int, ...]:
    """The number of images of each class.

    Args:
        labels: shape (N,), indices into ``classes``.
        classes: their names.
    """
    return tuple(np.bincount(labels, minlength=len(classes)).tolist())


def left_out(names: Mapping[str, Iterable[str]]) -> dict[str, LeftOut]:
    """Counts and examples of names by kind; a kind without names is dropped."""
    found = {}
    for kind, every in sorted(names.items()):
        listed = sorted(every, key=numbered)
        if listed:
            found[kind] = LeftOut(len(listed), tuple(map(shown, listed[:EXAMPLES])))
    return found


def numbered(name: str) -> tuple[int, str]:
    """The key that sorts names as texts, but rows and lines of a table by their numbers."""
    number = ROW.match(name)
    return (int(number[1]) if number else 0, name)


def of_no_part(folders: Iterable[str]) -> str:
    """The kind of images in folders beside the parts' (training, ...) that have other names.

    Args:
        folders: their names; the first three are in the kind.
    """
    every = sorted(folders)
    most = ", ".join(f"{shown(folder)}/" for folder in every[:3])
    if len(every) == 1:
        return f"in {most}, which is no name of a part"
    more = f" and {len(every) - 3} more" if len(every) > 3 else ""
    return f"in {most}{more}, which are no names of parts"


def few(names: Iterable[str]) -> str:
    """The first few of some names on one line, and how many more there are."""
    every = sorted(names)
    return few_of(LeftOut(len(every), tuple(map(shown, every[:EXAMPLES]))))


def few_of(one: LeftOut) -> str:
    """The examples of a kind, and how many more there are."""
    rest = one.count - len(one.examples)
    return ", ".join(one.examples) + (f" and {rest:,} more" if rest else "")


def shown(name: object) -> str:
    """A name on one line: characters that cannot be printed as their escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(name))
