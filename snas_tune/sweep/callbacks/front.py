"""The front file of a running sweep, and the hypervolume as it grows.

A row is written as soon as its result arrives, into the experiment's storage, so that a finished
child survives the death of any process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from ray.tune.experiment import Trial

from snas_tune.files import first_line
from snas_tune.front import FILE_NAME, SCHEMA, FrontFile, ParetoFront, RunningFront
from snas_tune.front.storage import STORAGE_ERRORS
from snas_tune.results import CHILDREN, EPOCH, HYPERVOLUME, OBJECTIVES
from snas_tune.sweep.lines import say

Row = dict[str, Any]


class FrontUnreadable(Exception):  # noqa: N818 - a state that passes
    """The front file cannot be read now."""


class SweepFront:
    """Every child of a sweep, held once: its row in the front file, its point in the front.

    Rows that the storage does not take now are kept, and written with the next ones.
    """

    def __init__(self) -> None:
        self._file: FrontFile | None = None
        self._waiting: list[Row] = []
        self._complained = False
        self._open: dict[str, dict[int, Row]] = {}
        """The rows of the trials that run: their checkpoints may still be named."""
        self._earlier: set[str] = set()
        """Trials of an earlier run of the sweep, whose rows are in the file alone."""
        self._points: dict[tuple[str, int], tuple[float, ...]] = {}
        """The objectives of each child, by trial and epoch."""
        self._equal: Counter[tuple[float, ...]] = Counter()
        """How many children have the same objectives."""
        self._front: RunningFront | None = None
        self.changes = 0
        """How often the front changed."""

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(SweepFront()), "_waiting": self._waiting}  # the file has the others

    def add(self, trial: Trial, row: Row, largest: float) -> dict[str, float]:
        """Write the row of a child that was evaluated.

        Args:
            trial: whose child it is; it knows the storage.
            row: all columns.
            largest: multiply-adds that no child exceeds.

        Returns:
            What the sweep now adds to the trial's report: :data:`~snas_tune.results.HYPERVOLUME`
            and :data:`~snas_tune.results.CHILDREN`.
        """
        if self._front is None:
            self._front = RunningFront([mode for _, mode in OBJECTIVES], (0.0, largest))
            for point in self._points.values():
                self._front.add(point)
        self._write(trial, [row])
        self._note([row])
        self._rows_of(row["trial"])[row[EPOCH]] = row
        return {
            HYPERVOLUME: self._front.hypervolume / self._front.reference[-1],
            CHILDREN: len(self._points),
        }

    def _note(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take the points of rows into the front."""
        for row in rows:
            point = tuple(float(row[name]) for name, _ in OBJECTIVES)
            key = (row["trial"], row[EPOCH])
            if key in self._points:
                self._equal[self._points[key]] -= 1
            self._points[key] = point
            self._equal[point] += 1
            if self._front is not None:
                self.changes += self._front.add(point)

    def _write(self, trial: Trial, rows: list[Row], *, last: bool = False) -> None:
        """Write rows, and those that wait; the last ones into the file itself."""
        self._waiting += rows
        try:
            file = self._opened(trial)
            if self._waiting:
                file.append(self._waiting)
            if last or file.due:
                file.settle()
            self._waiting, self._complained = [], False
        except (FrontUnreadable, *STORAGE_ERRORS) as error:
            if not self._complained:
                say(f"the front file waits for its storage: {first_line(error)}")
            self._complained = True

    def settle(self, trial: Trial) -> None:
        """Take the rows beside the file into it, if there are any and it is time."""
        if self._file is not None and self._file.behind and self._file.due:
            self._write(trial, [])

    def _opened(self, trial: Trial) -> FrontFile:
        """The file; what it holds of an earlier run is noted when it is opened."""
        if self._file is None:
            path = f"{trial.storage.experiment_fs_path}/{FILE_NAME}"
            try:
                self._file = FrontFile(path, trial.storage.storage_filesystem)
            except ValueError as error:
                raise FrontUnreadable(first_line(error)) from error
            columns = ["trial", EPOCH, *(name for name, _ in OBJECTIVES)]
            rows = self._file.table.select(columns).to_pylist()
            self._earlier = {row["trial"] for row in rows}
            self._note(rows)
        return self._file

    def name_checkpoints(self, name: str, kept: Mapping[int, str]) -> None:
        """Name the checkpoint of each child of a trial, as far as it is kept.

        They are written with the next row, or at the end of the trial: only a trial that goes on
        could lose the name of one, and it names all of them again.

        Args:
            name: the trial's.
            kept: paths by epoch.
        """
        for epoch, row in self._rows_of(name).items():
            if row["checkpoint"] != kept.get(epoch):
                row["checkpoint"] = kept.get(epoch)
                if not any(row is each for each in self._waiting):
                    self._waiting.append(row)

    def unname(self, trial: Trial, keys: Iterable[tuple[str, int]]) -> None:
        """Name no checkpoint any more for some children, also of trials that have ended.

        They are written as :meth:`name_checkpoints` says.

        Args:
            trial: one of the sweep; it knows the storage.
            keys: trials' names and epochs.
        """
        for name, epoch in keys:
            row = self._row(trial, name, epoch)
            if row is not None and row["checkpoint"] is not None:
                row["checkpoint"] = None
                if not any(row is each for each in self._waiting):
                    self._waiting.append(row)

    def _row(self, trial: Trial, name: str, epoch: int) -> Row | None:
        """The row of a child: of a trial that runs, one that waits, or a copy of the file's."""
        if epoch in self._open.get(name, {}):
            return self._open[name][epoch]
        for row in reversed(self._waiting):
            if (row["trial"], row[EPOCH]) == (name, epoch):
                return row
        return self._opened(trial).row(name, epoch)

    @property
    def waits(self) -> bool:
        """Whether rows wait that the file does not have yet."""
        return bool(self._waiting)

    def _rows_of(self, name: str) -> dict[int, Row]:
        """The rows of a trial that runs, by epoch."""
        rows = self._open.setdefault(name, {})
        if self._file is not None and name in self._earlier:
            self._earlier.remove(name)
            for row in self._file.table.filter(pc.field("trial") == name).to_pylist():
                rows.setdefault(row[EPOCH], row)
        return rows

    def end_trial(self, trial: Trial, name: str) -> None:
        """Write what waits, and forget that the trial runs."""
        self._write(trial, [])
        self._open.pop(name, None)

    @property
    def size(self) -> int:
        """How many children are on the front."""
        if self._front is None:
            return 0
        return sum(self._equal[tuple(point)] for point in self._front.points.tolist())

    def read(self, trial: Trial) -> ParetoFront:
        """All that the file holds, as far as this process knows.

        Raises:
            FrontUnreadable: the storage is away.
        """
        return ParetoFront(self._opened(trial).table)

    @property
    def table(self) -> pa.Table:
        """All that the file holds, as far as this process knows."""
        return SCHEMA.empty_table() if self._file is None else self._file.table

    def close(self, trials: list[Trial]) -> None:
        """Write what still waits into the file itself, or say that it is lost."""
        if trials and (self._waiting or self._file is not None):
            self._write(trials[0], [], last=True)
        if self._waiting:
            say(f"{len(self._waiting)} rows of the front file could not be written")
