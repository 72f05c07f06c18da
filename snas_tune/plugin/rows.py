"""Rows of the front file out of event files, and rows of any two scalars; as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from snas_tune.events import ChildrenForm
from snas_tune.plugin.reader import Reader
from snas_tune.plugin.series import Series
from snas_tune.results import ARCHITECTURE

ON_FRONT = "on_front"
"""The last column: whether the tab shows the row on the front."""

Point = tuple[str, int, bool]
"""Run, step, and whether it is on the front."""


def child_rows(reader: Reader, points: Sequence[Point]) -> tuple[list[str], list[dict[str, Any]]]:
    """The names and the rows of points of sweeps, as their front files have them.

    In the order of sweep, trial and epoch. With children of more than one sweep the first column
    says which.

    Args:
        reader: of the log directory.
        points: of runs that have children.

    Raises:
        KeyError: a run or step has none.
    """
    runs = sorted({run for run, _, _ in points})
    forms = {run: form for run, form in reader.forms.items() if form}
    children = reader.children(runs)
    architectures = reader.architectures(runs)
    origins = reader.origins(runs)
    places = {
        run: {step: i for i, step in enumerate(series.steps.tolist())}
        for run, series in children.items()
    }
    rows = []
    for run, step, on_front in points:
        origin = origins.get(run, {})
        row: dict[str, Any] = _numbers(forms[run], children[run], places[run][step])
        row["sweep"] = sweep_of(run)
        row |= {"trial": run.rpartition("/")[2], **origin.get("constants", {}), "epoch": step}
        row[ARCHITECTURE] = architectures.get(run, {}).get(step)
        row["checkpoint"] = origin.get("checkpoints", {}).get(str(step))
        rows.append({**row, ON_FRONT: on_front})
    rows.sort(key=lambda row: (row["sweep"], row["trial"], row["epoch"]))
    names = list(dict.fromkeys(name for run in runs for name in forms[run].fields))
    sweeps = ["sweep"] if len({row["sweep"] for row in rows}) > 1 else []
    return [*sweeps, *names, ON_FRONT], rows


def scalar_rows(
    points: Sequence[tuple[Point, float, float]],
    axes: tuple[str, str],
    settings: Mapping[str, Mapping[str, Any]],
) -> tuple[list[str], list[dict[str, Any]]]:
    """The names and the rows of points of any runs: run, step, both axes, hyperparameters."""
    rows = [
        {"run": run, "step": step, axes[0]: x, axes[1]: y, **settings.get(run, {}), ON_FRONT: front}
        for (run, step, front), x, y in points
    ]
    rows.sort(key=lambda row: (row["run"], row["step"]))
    names = list(dict.fromkeys(name for row in rows for name in row if name != ON_FRONT))
    return [*names, ON_FRONT], rows


def sweep_of(run: str) -> str:
    """The part of a run's name that runs of one sweep share: its folder."""
    parent = run.rpartition("/")[0]
    return parent.removesuffix("/tensorboard").removesuffix("tensorboard") or "."


def to_csv(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, in the form of :meth:`snas_tune.front.ParetoFront.to_csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([row.get(name) for name in names] for row in rows)
    return text.getvalue()


def to_json(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a JSON list of objects; what is not finite is null."""
    return json.dumps([{name: _finite(row.get(name)) for name in names} for row in rows], indent=1)


def _numbers(form: ChildrenForm, series: Series, place: int) -> dict[str, Any]:
    """The numbers of a child by name; whole ones as int."""
    values = series.values[place].tolist()
    return {
        column.name: int(value) if column.name in form.integers and value == value else value
        for column, value in zip(form.columns, values, strict=True)
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
