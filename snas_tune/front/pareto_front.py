"""The Pareto front of a sweep: which of its child networks no other one beats."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import fs

from snas_tune.arguments import checked
from snas_tune.checks import FLAG, check_value, holds, is_instance
from snas_tune.files import first_line, write_whole
from snas_tune.front.both import read_table
from snas_tune.front.dominance import hypervolume, nondominated
from snas_tune.front.storage import FILE_SYSTEM, STORAGE_ERRORS, resolve
from snas_tune.front.table import FILE_NAME, SCHEMA, check_columns, rows_to_table
from snas_tune.front.text import front_text
from snas_tune.objective_checks import NUMBERS, SOME_ROWS, check_objectives
from snas_tune.results import ARCHITECTURE, OBJECTIVES
from snas_tune.text_checks import IN_A_FOLDER, NO_FOLDER, PATH
from snas_tune.values import plain, shown

NUMERIC = tuple(field.name for field in SCHEMA if field.type != pa.string())
"""The columns that can be objectives or bounds."""

ON_FRONT = "on_front"
"""The column that exports add: whether the row is on the front."""


class ParetoFront:
    """All points of a sweep, and the front of them under the chosen objectives.

    Every epoch's child network is a point, children of stopped trials included. The front is
    computed here from all points and is not stored, with the rules of
    :func:`snas_tune.front.dominance.nondominated`: no NaN, ties are kept.

    Args:
        table: of :data:`snas_tune.front.table.SCHEMA`, as :meth:`FrontFile.read` returns it.
        objectives: two or more pairs of a numeric column and ``max`` or ``min``; the last one is
            the cost by which :attr:`front` is sorted.

    Raises:
        ValueError: the table has other columns, or an objective is not as above.
    """

    @checked
    def __init__(
        self,
        table: Annotated[pa.Table, is_instance(pa.Table)],
        objectives: Sequence[tuple[str, str]] = OBJECTIVES,
    ) -> None:
        check_columns(table.schema)
        self.objectives = check_objectives(objectives)
        for name, _ in self.objectives:
            if name not in NUMERIC:
                raise ValueError(
                    f"objective must be a numeric column of the front, got {shown(name)}"
                )
        self.table = table.select(SCHEMA.names)
        self.mask = nondominated(self._points, self._modes)
        """(n,) bools: which rows of the table are on the front."""

    @classmethod
    @checked
    def read(
        cls,
        path: Annotated[str | Path, PATH],
        objectives: Sequence[tuple[str, str]] = OBJECTIVES,
        filesystem: Annotated[fs.FileSystem | None, FILE_SYSTEM] = None,
    ) -> ParetoFront:
        """The front of a front file.

        Args:
            path: the file, or the directory that holds ``front.parquet``; local or a URI.
            objectives: as for the class.
            filesystem: as in :func:`snas_tune.front.storage.resolve`.

        Raises:
            ValueError: there is no front file that can be read, or it is of a newer format.
        """
        store, inside = resolve(str(path), filesystem)
        try:
            found = store.get_file_info(inside).type
        except STORAGE_ERRORS as error:
            raise ValueError(f"front file {path} cannot be read: {first_line(error)}") from error
        if found == fs.FileType.Directory:
            # A URI's options come after its path, so the name is put behind the resolved path.
            return cls(read_table(f"{inside.rstrip('/')}/{FILE_NAME}", store), objectives)
        return cls(read_table(str(path), filesystem), objectives)

    @classmethod
    @checked
    def from_rows(
        cls,
        rows: Annotated[Iterable[Mapping[str, Any]], SOME_ROWS],
        objectives: Sequence[tuple[str, str]] = OBJECTIVES,
    ) -> ParetoFront:
        """The front of rows as :meth:`FrontFile.add` takes them.

        Raises:
            ValueError: as :func:`snas_tune.front.table.rows_to_table`.
        """
        return cls(rows_to_table(rows), objectives)

    def __len__(self) -> int:
        """The number of points, dominated ones included."""
        return len(self.mask)

    def __repr__(self) -> str:
        trials = len(set(self.table["trial"].to_pylist()))
        ends = []
        for (name, _), values in zip(self.objectives, self._points[self.mask].T, strict=True):
            if len(values):
                ends.append(f"{name} {values.min():.4g} to {values.max():.4g}")
        shown = f": {', '.join(ends)}" if ends else ""
        return (
            f"ParetoFront({len(self)} points of {trials} trials, "
            f"{int(self.mask.sum())} on the front{shown})"
        )

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """All points, in the order of the table: by trial and epoch."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    @cached_property
    def front(self) -> list[dict[str, Any]]:
        """The points that no other one dominates, the cheapest first; ties by trial and epoch."""
        places = np.flatnonzero(self.mask)
        sign = 1 if self._modes[-1] == "min" else -1
        order = np.argsort(sign * self._points[places, -1], kind="stable")
        rows: list[dict[str, Any]] = self.table.take(pa.array(places[order])).to_pylist()
        return rows

    @cached_property
    def distinct(self) -> list[dict[str, Any]]:
        """:attr:`front` with each architecture of the same objectives once: its first row.

        A search that has settled derives the same architecture, with the same accuracy, epoch
        after epoch.
        """
        kept: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self.front:
            key = (row[ARCHITECTURE], *(row[name] for name, _ in self.objectives))
            kept.setdefault(key, row)
        return list(kept.values())

    def marked(self) -> list[dict[str, Any]]:
        """:attr:`rows`, each with :data:`ON_FRONT`: the points of a picture."""
        return [{**row, ON_FRONT: bool(on)} for row, on in zip(self.rows, self.mask, strict=True)]

    def default_reference(self) -> tuple[float, ...]:
        """0 for an objective to maximise, the largest finite value among all points for a cost."""
        return tuple(
            0.0 if mode == "max" else float(np.max(values[np.isfinite(values)], initial=0.0))
            for mode, values in zip(self._modes, self._points.T, strict=True)
        )

    @checked
    def hypervolume(
        self,
        reference: Annotated[Sequence[float] | None, NUMBERS] = None,
        normalised: Annotated[bool, FLAG] = False,
    ) -> float:
        """The volume between the front and a reference point, see :func:`pareto.hypervolume`.

        The default reference (:meth:`default_reference`) depends on the points, so hypervolumes of
        two sweeps can be compared only with a fixed reference that is given to both. A point at
        the reference's own cost contributes nothing, so the most expensive one does not count by
        default.

        Args:
            reference: the worst corner, in the order of the objectives.
            normalised: divide by the volume of the box between the reference and the ideal point,
                which is 1 for an objective to maximise (a share) and 0 for a cost.

        Returns:
            The volume in the product of the objectives' units (share x multiply-adds), or the
            share of the box.

        Raises:
            ValueError: the reference is not one finite number for each objective.
        """
        corner = self.default_reference() if reference is None else reference
        volume = hypervolume(self._points[self.mask], self._modes, corner)
        return volume / self._box(corner) if normalised and volume > 0 else volume

    def best(self, **bounds: float) -> dict[str, Any]:
        """The most accurate point within budgets.

        Every point is a candidate, dominated ones included: under a budget in a column that is no
        objective the best point need not be on the front. Ties go to fewer FLOPs, then fewer
        params, then the first trial and epoch. NaN is within no bound.

        Args:
            bounds: ``max_`` or ``min_`` and the name of a numeric column, as ``max_flops=30e6``,
                ``max_params``, ``max_latency_ms``, ``min_child_accuracy``. ``min_accuracy`` means
                the child network's too: the supernet's accuracy is not one that can be had.

        Returns:
            The row; its ``child_accuracy`` is the accuracy that is maximised.

        Raises:
            ValueError: a bound is none of these, or no point is within them.
        """
        limits = [_bound(name, value) for name, value in bounds.items()]
        admissible = ~np.isnan(self._column("child_accuracy"))
        for column, sign, value in limits:
            admissible &= sign * self._column(column) <= sign * value
        places = np.flatnonzero(admissible)
        if not len(places):
            raise ValueError(self._nothing_within(limits))
        keys = [self._column(name)[places] for name in ("params", "flops", "child_accuracy")]
        keys[-1] = -keys[-1]
        return self._row(int(places[np.lexsort(keys)[0]]))

    def table_text(self, limit: int | None = None) -> str:
        """:attr:`distinct` for a terminal, see :func:`snas_tune.front.text.front_text`."""
        return front_text(self.distinct, limit)

    def to_pandas(self) -> Any:
        """All points as a pandas ``DataFrame``, with the column ``on_front``.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install pandas") from error
        return self._exported().to_pandas()

    @checked
    def to_csv(self, path: Annotated[str | Path, PATH]) -> None:
        """Write all points to a local CSV file, with the column ``on_front``.

        NaN is written as ``nan``, a missing checkpoint as an empty field.

        Raises:
            ValueError: the path is a folder, or lies in one that is not there or not writable.
        """
        path = Path(path).expanduser()
        check_value("path of the CSV file", path, NO_FOLDER, IN_A_FOLDER)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        exported = self._exported()
        writer.writerow(exported.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in exported.columns), strict=True))
        try:
            write_whole(path, text.getvalue().encode(), to_disk=True)
        except OSError as error:
            raise ValueError(f"CSV file {path} cannot be written: {first_line(error)}") from error

    @cached_property
    def _points(self) -> npt.NDArray[np.float64]:
        """(n, m), a column for each objective."""
        return np.stack([self._column(name) for name, _ in self.objectives], axis=1)

    @property
    def _modes(self) -> list[str]:
        return [mode for _, mode in self.objectives]

    def _column(self, name: str) -> npt.NDArray[np.float64]:
        return np.asarray(self.table[name].to_numpy(), dtype=np.float64)

    def _row(self, place: int) -> dict[str, Any]:
        row: dict[str, Any] = self.table.slice(place, 1).to_pylist()[0]
        return row

    def _box(self, corner: Sequence[float]) -> float:
        ideal = [1.0 if mode == "max" else 0.0 for mode in self._modes]
        return float(np.prod(np.abs(np.subtract(corner, ideal))))

    def _exported(self) -> pa.Table:
        return self.table.append_column(ON_FRONT, pa.array(self.mask))

    def _nothing_within(self, limits: Sequence[tuple[str, int, float]]) -> str:
        """Why :meth:`best` has no answer, with the point that comes nearest on the first budget."""
        wanted = " and ".join(
            f"{column} {'<=' if sign > 0 else '>='} {value:.15g}" for column, sign, value in limits
        )
        known = np.flatnonzero(~np.isnan(self._column("child_accuracy")))
        if not len(known):
            return f"no point has {wanted or 'a child accuracy'}; there are {len(self)} points"
        column, sign, _ = next((limit for limit in limits if limit[1] > 0), limits[0])
        values = sign * self._column(column)[known]
        if np.isnan(values).all():
            return f"no point has {wanted}; {column} is NaN in all of them"
        row = self._row(int(known[np.nanargmin(values)]))
        has = " and ".join(f"{name} {row[name]:.15g}" for name, *_ in limits)
        return f"no point has {wanted}; {'the cheapest' if sign > 0 else 'the highest'} has {has}"


def _bound(name: str, value: float) -> tuple[str, int, float]:
    """The column, 1 for ``max`` and -1 for ``min``, and the value of a bound of ``best``."""
    mode, _, column = name.partition("_")
    column = "child_accuracy" if column == "accuracy" else column
    if mode not in ("max", "min") or column not in NUMERIC:
        raise ValueError(
            f"bound must be max_ or min_ and a numeric column of the front, got {shown(name)}"
        )
    value = plain(value)
    if not holds(lambda each: each == each and float(each) == each, value) or isinstance(
        value, (bool, str)
    ):
        raise ValueError(f"bound {name} must be a number, got {shown(value)}")
    return column, 1 if mode == "max" else -1, float(value)
