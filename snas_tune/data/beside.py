"""The table of a folder of images without class folders, wherever people put it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from snas_tune.data.columns import has_columns, read_columns
from snas_tune.data.entries import hidden, is_image
from snas_tune.data.found import shown
from snas_tune.data.parts import TRAINING, part_in, parts_among
from snas_tune.data.table import Places, Table, is_table

BESIDE = ("labels", "metadata", "annotations")
"""Names of a table beside a folder of images, if it has not the folder's own name."""

NO_LABELS = "submission"
"""In the name of a table that shows the form of an answer; its labels are none."""

SAMPLE = 200
"""Rows of a table that are looked for to learn whether it is of a folder's images."""


def table_of(folder: Path) -> Table | None:
    """The table of labels of a folder of images without class folders; None if there is none.

    The images are directly in the folder, in the only folder inside it (``images/``), or in its
    folder of training images beside one of another part. The table is the one with the needed
    columns beside the images. Else it is the one beside their folder that has its name
    (``train.csv``, ``train_labels.csv``), or is called ``labels`` or similar. Inside ``folder`` any
    other that names these images will do, unless it is called like test or validation images or a
    sample of a submission.

    Raises:
        ValueError: there are several.
    """
    try:
        flat = _flat(folder)
        if flat is None:
            return None
        for candidates in _candidates(flat, folder):
            tables = [path for path in candidates if is_table(path) and has_columns(path)]
            found = [table for path in tables if (table := _fitting(path, flat, folder))]
            if len(found) > 1:
                raise ValueError(
                    "one table must label the images of a folder, got "
                    f"{' and '.join(shown(table.path.name) for table in found)} for {shown(flat)}; "
                    "give the table itself"
                )
            if found:
                return found[0]
    except OSError:  # reading the folder says why
        pass
    return None


def _flat(folder: Path) -> Path | None:
    """The folder of the images, or of the training images, if it has no folders inside."""
    with os.scandir(folder) as entries:
        seen = [(entry.name, entry.is_dir()) for entry in entries if not hidden((entry.name,))]
    folders = [name for name, is_folder in seen if is_folder]
    if not folders:
        return folder if any(is_image(name) for name, _ in seen) else None
    if len(folders) == 1:
        return _flat(folder / folders[0])
    parts = parts_among(folders, shown(folder))
    return _flat(folder / parts[TRAINING]) if len(parts) > 1 and TRAINING in parts else None


def _candidates(flat: Path, folder: Path) -> Iterator[Sequence[Path]]:
    """Files that may be the table, the likelier ones first."""
    yield sorted(flat.iterdir())
    if flat == folder:
        levels = [folder.resolve().parent]
    else:
        levels = [place for place in flat.parents if place.is_relative_to(folder)]
    near = [path for level in levels for path in sorted(level.iterdir())]
    name = flat.resolve().name.lower()
    own = {name, *(f"{name}{mark}{word}" for mark in ("_", "-", "") for word in BESIDE)}
    yield [path for path in near if path.stem.lower() in own]
    yield [path for path in near if path.stem.lower() in BESIDE]
    if flat != folder:
        yield [path for path in near if part_in(path.stem) == TRAINING]
        rest = [path for path in near if part_in(path.stem) is None]
        yield [path for path in rest if NO_LABELS not in path.stem.lower()]


def _fitting(path: Path, flat: Path, folder: Path) -> Table | None:
    """The table with the folder where its paths begin; None if it is of other images.

    One of a folder that itself holds the images is taken as it is.
    """
    if flat == folder:
        return Table(path, folder)
    columns = read_columns(path)
    if columns.inside:
        return None
    own = flat.resolve()
    some = columns.images[:: max(1, len(columns.images) // SAMPLE)]
    for start in (flat, folder):
        places = Places(path, start).of(some)
        if any(isinstance(place, Path) and place.parent.resolve() == own for place in places):
            return Table(path, start)
    return None
