"""Data sets of Hugging Face's library ``datasets``: from the hub, or saved in a folder."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from snas_tune.data.collect import gather_files, images_of
from snas_tune.data.columns import IMAGES, LABELS
from snas_tune.data.found import LeftOut, shown
from snas_tune.data.images import ImageSet
from snas_tune.data.labels import Chosen, choose_rows
from snas_tune.data.parts import TRAINING, parts_among
from snas_tune.data.request import Request
from snas_tune.files import first_line

PREFIX = "hf:"
"""Of a spec ``hf:owner/name``, or ``hf:owner/name:configuration``."""

MORE_LABELS = (*LABELS, "fine_label")

Parts = dict[str, Any]


def is_saved(folder: Path) -> bool:
    """Whether ``save_to_disk`` has written a folder."""
    one = all((folder / name).is_file() for name in ("state.json", "dataset_info.json"))
    return one or (folder / "dataset_dict.json").is_file()


def is_of_library(value: Any) -> bool:
    """Whether a value is a data set of the library, or several by their splits."""
    return type(value).__module__.split(".")[0] == "datasets"


@dataclass(frozen=True, slots=True)
class Hub:
    """The source of one data set: images and labels by its own features, parts by their names.

    The labels are the one column of class labels, whose names are kept, or a column with a usual
    name for labels. Splits that are no part, such as ``extra``, are left out.
    """

    spec: str
    """``hf:...``, or the path of a saved data set."""

    given: Any = None
    """The data set itself, as a function of the user's returns it."""

    def check(self, request: Request) -> None:
        """Look for the library, and read the features of a saved data set."""
        library = self._library()
        if not self.spec.startswith(PREFIX):
            self._chosen(self._parts(library), request)

    def files(self, request: Request) -> list[Path]:
        """The library's own files, downloaded if need be."""
        parts = self._parts(self._library())
        return [Path(file["filename"]) for data in parts.values() for file in data.cache_files]

    def read(self, request: Request) -> ImageSet:
        """Decode all images.

        Raises:
            ValueError: the library is not installed, it cannot read the data set, or that has no
                images with labels; an image cannot be read.
        """
        library = self._library()
        parts = self._parts(library)
        chosen = self._chosen(parts, request)
        items = self._items(library, parts, chosen)
        return images_of(chosen, gather_files(items, len(chosen.rows), request), request)

    def _library(self) -> ModuleType:
        try:
            return importlib.import_module("datasets")
        except ImportError as error:
            raise ValueError(
                "the package datasets must be installed (pip install 'snas_tune[datasets]') for "
                f"{shown(self.spec)}, got {first_line(error)}"
            ) from error

    def _parts(self, library: ModuleType) -> Parts:
        """The splits by name; one that has no name is called ``train``."""
        with self._readable():
            if self.given is not None:
                found = self.given
            elif self.spec.startswith(PREFIX):
                found = library.load_dataset(*self.spec.removeprefix(PREFIX).split(":", 1))
            else:
                found = library.load_from_disk(self.spec)
            parts = dict(found) if isinstance(found, Mapping) else {"train": found}
            if not all(hasattr(data, "__len__") for data in parts.values()):
                raise TypeError("a stream, which has no length")
            return parts

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of the network, of files, of the library's own kinds
            raise ValueError(
                f"data set must be readable by the package datasets, got {shown(self.spec)} "
                f"({type(error).__name__}: {first_line(error)})"
            ) from error

    def _chosen(self, parts: Parts, request: Request) -> Chosen:
        where = shown(self.spec)
        known = known_splits(parts, where)
        labels: list[str | None] = []
        splits: list[str | None] = []
        classes = None
        for name in known.values():
            column = label_column(parts[name].features, where)
            classes = class_names(parts[name].features[column])
            with self._readable():
                values = list(parts[name][column])
            labels += [label_text(value, classes, where) for value in values]
            splits += [name] * len(values)
        named = None if set(known) == {TRAINING} else splits
        chosen = choose_rows(where, labels, named, train=request.train, classes=classes)
        others = {
            f"split {shown(name)}": LeftOut(len(data), ())
            for name, data in parts.items()
            if name not in known.values()
        }
        return replace(chosen, left_out={**chosen.left_out, **others})

    def _items(
        self, library: ModuleType, parts: Parts, chosen: Chosen
    ) -> Iterator[tuple[int, str, Path | bytes]]:
        """Row, name and content or path of each image, one by one."""
        known = known_splits(parts, shown(self.spec))
        wanted = {row: i for i, row in enumerate(chosen.rows.tolist())}
        first = 0
        for name in known.values():
            data = parts[name]
            column = image_column(data.features, shown(self.spec))
            own = [row for row in range(len(data)) if first + row in wanted]
            with self._readable():
                raw = data.select_columns([column]).cast_column(column, library.Image(decode=False))
                for row, item in zip(own, raw.select(own), strict=True):
                    value = item[column] or {}
                    path, content = value.get("path"), value.get("bytes")
                    if not isinstance(content, bytes | None):
                        raise TypeError(f"bytes of row {row} are of type {type(content).__name__}")
                    place = f"row {row} of {name} in {self.spec}"
                    source = Path(path) if content is None and path else content or b""
                    yield wanted[first + row], place, source
            first += len(data)


def known_splits(parts: Parts, where: str) -> dict[str, str]:
    """The split of each part; a split that stands alone is for training, whatever its name.

    Raises:
        ValueError: two splits are of one part.
    """
    if len(parts) == 1:
        return {TRAINING: next(iter(parts))}
    return parts_among(parts, where)


def image_column(features: Mapping[str, Any], where: str) -> str:
    """The column of images.

    Raises:
        ValueError: there is none.
    """
    found = [name for name, feature in features.items() if _kind(feature) == "Image"]
    if not found:
        raise ValueError(f"data set must have a column of images, got {_listed(features, where)}")
    return next((name for name in IMAGES if name in found), found[0])


def label_column(features: Mapping[str, Any], where: str) -> str:
    """The column of labels.

    Raises:
        ValueError: there is none, or there are several without a usual name.
    """
    found = [name for name, feature in features.items() if _kind(feature) == "ClassLabel"]
    if not found:
        found = [name for name in MORE_LABELS if _kind(features.get(name)) == "Value"][:1]
    usual = [name for name in MORE_LABELS if name in found]
    if len(found) != 1 and not usual:
        raise ValueError(
            f"data set must have one column of labels ({', '.join(MORE_LABELS)}), "
            f"got {_listed(features, where)}"
        )
    return (usual or found)[0]


def class_names(feature: Any) -> tuple[str, ...] | None:
    """The names of the classes of a column of class labels; None of any other."""
    return tuple(map(str, feature.names)) if _kind(feature) == "ClassLabel" else None


def label_text(value: Any, classes: tuple[str, ...] | None, where: str) -> str | None:
    """A label as text; None where there is none, as -1 says for a class label.

    Raises:
        ValueError: it is no single value.
    """
    if value is None or (classes is not None and value == -1):
        return None
    if not isinstance(value, str | int | float | bool):
        raise ValueError(f"label must be one text or number, got {type(value).__name__} in {where}")
    return str(value) if classes is None else classes[int(value)]


def _kind(feature: Any) -> str:
    return type(feature).__name__


def _listed(features: Mapping[str, Any], where: str) -> str:
    names = [f"{shown(name)} ({_kind(feature)})" for name, feature in features.items()]
    return f"{', '.join(names[:10])} in {where}"
