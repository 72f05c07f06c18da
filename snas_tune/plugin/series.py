"""Values over the steps of a run, and the points that are drawn of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

VALUES = ("all", "last", "best")
"""Which points of a run are shown: each step, the last one, or the one with the best y."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values of some columns over the steps of a run."""

    steps: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]
    """Seconds since 1970."""

    values: npt.NDArray[np.float64]
    """(steps, columns)."""


@dataclass(slots=True)
class Points:
    """What is drawn, in the order that decides ties: fewer params, then run and step."""

    run: list[str] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    time: list[float] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    """Runs that do not have both."""

    not_finite: int = 0
    """Points left out because x or y is NaN or infinite."""


def series_of(data: Iterable[Any], columns: int) -> Series:
    """The vectors in the order of their steps; of a step that came again the later one.

    Args:
        data: TensorBoard's.
        columns: how many numbers a vector has. Others are left out: a run has one form, and what
            another process wrote into it with another one cannot be told.
    """
    ours = (d for d in data if d.numpy.size == columns and d.numpy.dtype.kind == "f")
    latest = {d.step: d for d in sorted(ours, key=lambda d: d.wall_time)}
    ordered = [latest[step] for step in sorted(latest)]
    return Series(
        np.array([d.step for d in ordered], np.int64),
        np.array([d.wall_time for d in ordered], np.float64),
        np.array([d.numpy for d in ordered], np.float64).reshape(-1, columns),
    )


def points_of(pairs: Mapping[str, Series], value: str, maximise: bool) -> Points:
    """The points of runs, without :attr:`Points.without`.

    Args:
        pairs: x, y and what decides ties, of each run.
        value: one of :data:`VALUES`.
        maximise: whether the best y is the largest.
    """
    points = Points()
    parts = []
    for run in sorted(pairs):
        series = pairs[run]
        keep = np.isfinite(series.values[:, :2]).all(axis=1)
        points.not_finite += int((~keep).sum())
        places = _chosen(np.flatnonzero(keep), series.values[:, 1], value, maximise)
        if len(places):
            parts.append((run, series, places))
    if parts:
        tie = np.concatenate([series.values[places, 2] for _, series, places in parts])
        order = np.argsort(tie, kind="stable")

        def joined(column: Callable[[Series], npt.NDArray[Any]]) -> list[Any]:
            whole = np.concatenate([column(series)[places] for _, series, places in parts])
            values: list[Any] = whole[order].tolist()
            return values

        names = [run for run, _, places in parts for _ in places]
        points.run = [names[i] for i in order.tolist()]
        points.step = joined(lambda series: series.steps)
        points.x = joined(lambda series: series.values[:, 0])
        points.y = joined(lambda series: series.values[:, 1])
        points.time = joined(lambda series: series.times)
    return points


def _chosen(
    places: npt.NDArray[np.intp], y: npt.NDArray[np.float64], value: str, maximise: bool
) -> npt.NDArray[np.intp]:
    """Those of the places that are shown."""
    if value == "all" or not len(places):
        return places
    if value == "last":
        return places[-1:]
    best = np.argmax(y[places] if maximise else -y[places])
    return places[best : best + 1]
