"""A table of paths and labels as a source: CSV, TSV or Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from snas_tune.data.collect import gather_files, images_of, require_left
from snas_tune.data.columns import Columns, read_columns, readable_table
from snas_tune.data.entries import TABLES, ending, sort_out
from snas_tune.data.found import REPEATED, SKIPPING, UNLABELLED, few_of, left_out, shown
from snas_tune.data.gather import NOTHING, Gathered, refuse_bad
from snas_tune.data.images import READABLE, ImageSet
from snas_tune.data.labels import Chosen, choose_rows, without_point
from snas_tune.data.request import Request
from snas_tune.data.scan import scan


def is_table(path: Path) -> bool:
    """Whether it is a table, by its name."""
    return ending(path.name) in TABLES


class _Rows(NamedTuple):
    chosen: Chosen
    places: list[Path]
    """Of each chosen row, empty where the table holds the images themselves."""

    bad: dict[str, str]
    """Rows that name no file."""


@dataclass(frozen=True, slots=True)
class Table:
    """The source of one table.

    A row names its image by a path, absolute or relative to the images' folder; by the end of such
    a path, if one file alone has it; or by its name without an ending.
    """

    path: Path

    folder: Path
    """Where relative paths begin."""

    def check(self, request: Request) -> None:
        """Look for every image, and decode the first one of each class; all if one is bad."""
        columns = read_columns(self.path)
        rows = self._rows(columns, request)
        if columns.inside:
            return
        first = np.unique(rows.chosen.labels, return_index=True)[1]
        checked = replace(request, bad_images="skip")
        bad = _gather([rows.places[i] for i in first], checked, rows.bad).bad
        if bad and request.bad_images == "error":
            refuse_bad(_gather(rows.places, checked, rows.bad).bad, request)

    def files(self, request: Request) -> list[Path]:
        """The table and the images."""
        return [self.path, *self._rows(read_columns(self.path), request).places]

    def read(self, request: Request) -> ImageSet:
        """Decode all images.

        Raises:
            ValueError: the table or an image cannot be read, see also
                :func:`~snas_tune.data.labels.choose_rows`; an image has two labels.
        """
        columns = read_columns(self.path)
        rows = self._rows(columns, request)
        if columns.inside:
            items = self._contents(columns, rows.chosen)
            gathered = gather_files(items, len(rows.chosen.rows), request, rows.bad)
        else:
            gathered = _gather(rows.places, request, rows.bad)
        return images_of(rows.chosen, gathered, request)

    def _rows(self, columns: Columns, request: Request) -> _Rows:
        """The rows that are asked for, each image once."""
        where = str(shown(self.path))
        chosen = choose_rows(
            where,
            without_point(columns.labels),
            columns.splits,
            train=request.train,
            classes=columns.classes,
            place=columns.place,
        )
        note = f"columns {shown(columns.names[0])} and {shown(columns.names[1])} were read"
        chosen = replace(chosen, notes=(note,))
        unlabelled = chosen.left_out.get(UNLABELLED)
        if unlabelled and request.bad_images == "error":
            raise ValueError(
                f"each row of a table must have a label, got {unlabelled.count:,} without "
                f"({few_of(unlabelled)}) in {where}; {SKIPPING}"
            )
        if columns.inside:
            return _Rows(chosen, [], {})
        found = self._found(columns, chosen)
        if found.bad and request.bad_images == "skip":
            require_left(chosen, found.chosen.labels, found.chosen.validation)
        return found

    def _found(self, columns: Columns, chosen: Chosen) -> _Rows:
        """The rows whose images are there, each image once."""
        names = [columns.images[row] for row in chosen.rows]
        places = Places(self.path, self.folder).of(names)
        bad: dict[str, str] = {}
        first: dict[Path, int] = {}
        repeated: list[str] = []
        kept: list[int] = []
        for i, (name, place) in enumerate(zip(names, places, strict=True)):
            if not isinstance(place, Path):
                bad[columns.place(int(chosen.rows[i]))] = f"{READABLE}, got {shown(name)} ({place})"
            elif place in first:
                repeated.append(str(place))
                self._refuse_two_labels(chosen, first[place], i, place)
            else:
                first[place] = i
                kept.append(i)
        some = np.array(kept, np.int64)
        chosen = replace(
            chosen,
            rows=chosen.rows[some],
            labels=chosen.labels[some],
            validation=None if chosen.validation is None else chosen.validation[some],
            left_out={**chosen.left_out, **left_out({REPEATED: repeated})},
        )
        return _Rows(chosen, list(first), bad)

    def _refuse_two_labels(self, chosen: Chosen, one: int, other: int, place: Path) -> None:
        pair = [shown(chosen.classes[chosen.labels[i]]) for i in (one, other)]
        if pair[0] != pair[1]:
            raise ValueError(
                f"each image must have one label, got {pair[0]} and {pair[1]} for {shown(place)} "
                f"in {shown(self.path)}"
            )

    def _contents(self, columns: Columns, chosen: Chosen) -> Iterator[tuple[int, str, bytes]]:
        """Row, name and content of each image in the table itself, a few at a time."""
        from pyarrow import parquet

        wanted = {int(row): i for i, row in enumerate(chosen.rows)}
        with readable_table(self.path), parquet.ParquetFile(self.path) as file:
            row = -1
            for batch in file.iter_batches(64, columns=[f"{columns.names[0]}.bytes"]):
                for value in batch.column(0).to_pylist():
                    row += 1
                    if row in wanted:
                        name = f"{columns.images[row]} of {self.path}"
                        yield wanted[row], name, (value or {}).get("bytes") or b""


class Places:
    """Where the images are that a table names.

    Args:
        table: its path; relative paths may begin beside it.
        folder: where relative paths begin as well; it is also searched, as a whole.
    """

    def __init__(self, table: Path, folder: Path) -> None:
        self.folders = (folder, table.parent)
        stem = table.stem.lower()
        self.liked = {stem, stem.replace("-", "_").split("_")[0]}
        """Folders whose images are meant where several have one name, as by ``train.csv``."""

    def of(self, names: Sequence[str | None]) -> list[Path | str]:
        """The path of each image, or the reason why there is none."""
        found = [self._direct(name) for name in names]
        if all(place is not None for place in found):
            return [place for place in found if place is not None]
        images, _ = sort_out(scan(self.folders[0]))
        ends: dict[str, list[Path]] = {}
        for parts in images:
            place = self.folders[0].joinpath(*parts)
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                ends.setdefault(end, []).append(place)
                ends.setdefault(end.removesuffix(PurePosixPath(end).suffix), []).append(place)
        return [
            self._only(name, ends) if place is None else place
            for name, place in zip(names, found, strict=True)
        ]

    def _direct(self, name: str | None) -> Path | None:
        """The file that a path leads to."""
        for written in dict.fromkeys((name, name.replace("\\", "/"))) if name else ():
            for folder in self.folders:
                place = folder / written
                with suppress(OSError, ValueError):
                    if place.is_file():
                        return Path(os.path.normpath(place))
        return None

    def _only(self, name: str | None, ends: Mapping[str, list[Path]]) -> Path | str:
        """The one image whose path ends so, or why there is none."""
        if name is None:
            return "no path"
        found = ends.get(name.replace("\\", "/").removeprefix("./"), [])
        if len(found) > 1:
            liked = [p for p in found if self.liked & {part.lower() for part in p.parts[:-1]}]
            found = liked if len(liked) == 1 else found
        if len(found) > 1:
            return f"{len(found):,} files have this name, {shown(found[0])} and {shown(found[1])}"
        return found[0] if found else "no such file"


def _gather(places: Sequence[Path], request: Request, bad: Mapping[str, str] = NOTHING) -> Gathered:
    items = ((row, str(place), place) for row, place in enumerate(places))
    return gather_files(items, len(places), request, bad)
