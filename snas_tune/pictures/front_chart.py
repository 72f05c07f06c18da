"""The picture of a sweep: every derived child, and the front of those that none dominates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from snas_tune.arguments import checked
from snas_tune.checks import FLAG, TITLE
from snas_tune.objective_checks import NUMBERS, ROWS, check_objectives
from snas_tune.pictures.canvas import new_figure
from snas_tune.pictures.front_axes import Axis, NDArrayBool, axis_of, prepare
from snas_tune.pictures.scales import Values, display, log_ticks, number
from snas_tune.pictures.style import LIGHT
from snas_tune.results import OBJECTIVES, metric_of

MARKERS = "os^DvP*X"
"""One for each temperature schedule, from the start again after the last."""

DOMINATED = "#8C949C"
STEP = "#1A1A1A"


@checked
def front_figure(
    points: Annotated[Sequence[Mapping[str, Any]], ROWS],
    *,
    title: Annotated[str, TITLE] = "",
    objectives: Sequence[tuple[str, str]] = OBJECTIVES,
    reference: Annotated[Sequence[float] | None, NUMBERS] = None,
    log_cost: Annotated[bool | None, FLAG] = None,
) -> Figure:
    """All points of a sweep with their front as a step line.

    At each budget the line shows the best first objective among the points that are no worse in the
    second.

    Args:
        points: each with the two objectives by name (accuracy as a share, cost in its own unit),
            and, where known, ``config`` (its metric), ``on_front`` (whether no other point
            dominates it), ``penalty_strength`` (colours the front) and ``temperature_schedule``
            (marker). Points with a missing, infinite or NaN objective are left out and counted in a
            note.
        title: shown above.
        objectives: name and mode, ``max`` or ``min``: of the vertical, then the horizontal axis.
        reference: the reference point of a hypervolume, one value for each objective, in their
            units and order; marked by a cross.
        log_cost: a logarithmic horizontal axis, on which zeros keep a place at the left; None where
            positive costs differ by more than a factor of 30.

    Raises:
        ValueError: there are not two objectives, or a mode is neither ``max`` nor ``min``.
    """
    _check(objectives, reference)
    figure = new_figure(8.6, 5.4)
    axes = figure.add_subplot()
    axes.set_title(title, parse_math=False, fontsize=13, pad=22)
    factors = [display(name)[0] for name, _ in objectives]
    table = np.array(
        [[number(point, name) for name, _ in objectives] for point in points], dtype=np.float64
    ).reshape(len(points), 2)
    finite: NDArrayBool = np.asarray(np.isfinite(table).all(axis=1))
    kept = [point for point, whole in zip(points, finite, strict=True) if whole]
    if not kept:
        return _nothing(figure, axes, len(points))
    values = table[finite] * factors
    front = np.array([bool(point.get("on_front")) for point in kept])
    metric = metric_of(kept)
    y = axis_of(objectives[0][0], values[:, 0], front, False, metric)
    x = axis_of(objectives[1][0], values[:, 1], front, log_cost, metric)
    prepare(axes, x, y)
    rising = [objectives[1][1] == "min", objectives[0][1] == "max"]
    if front.any():
        _step(axes, x, y, front, *rising)
    colours = _dots(axes, x, y, front, kept)
    if colours is not None:
        _colour_bar(figure, axes, colours)
    outside = _arrowheads(axes, x, y)
    if reference is not None:
        _reference(axes, x, y, reference[1] * factors[1], reference[0] * factors[0])
    _notes(axes, int((~finite).sum()), outside)
    _legend(figure, axes)
    return figure


def attained(
    x: Values, y: Values, *, smaller_x: bool = True, larger_y: bool = True
) -> tuple[Values, Values, str]:
    """The corners of the step line through a front.

    Args:
        x: values on the horizontal axis of the points on the front.
        y: their values on the vertical axis.
        smaller_x: whether smaller is better on the horizontal axis.
        larger_y: whether larger is better on the vertical axis.

    Returns:
        ``x`` ascending, for each the best ``y`` of all points that are no worse in ``x``, and
        matplotlib's ``where``: ``post`` where a larger budget allows more, else ``pre``.
    """
    order = np.argsort(x, kind="stable")
    best = np.maximum if larger_y else np.minimum
    x, y = x[order], y[order]
    if smaller_x:
        y, where = best.accumulate(y), "post"
        last = np.append(x[1:] > x[:-1], True)  # of equal budgets the last holds the best
    else:
        y, where = best.accumulate(y[::-1])[::-1], "pre"
        last = np.insert(x[1:] > x[:-1], 0, True)
    return x[last], y[last], where


def _check(objectives: Sequence[tuple[str, str]], reference: Sequence[float] | None) -> None:
    check_objectives(objectives)
    if len(objectives) != 2:
        raise ValueError(f"objectives must be two, got {len(objectives)}")
    if reference is not None and len(reference) != 2:
        raise ValueError(
            f"reference must hold a value for each of two objectives, got {len(reference)}"
        )


def _nothing(figure: Figure, axes: Axes, left_out: int) -> Figure:
    axes.set_axis_off()
    text = "no points yet"
    if left_out:
        text = f"no points to show: {left_out} left out, as not finite"
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=14, color=LIGHT.pale_ink)
    return figure


def _step(
    axes: Axes, x: Axis, y: Axis, front: NDArrayBool, smaller_x: bool, larger_y: bool
) -> None:
    steps_x, steps_y, where = attained(
        x.values[front], y.values[front], smaller_x=smaller_x, larger_y=larger_y
    )
    # The last value holds for every larger budget, so the line runs on to the border.
    if smaller_x:
        steps_x, steps_y = np.append(steps_x, x.limits[1]), np.append(steps_y, steps_y[-1])
    else:
        steps_x, steps_y = np.insert(steps_x, 0, x.limits[0]), np.insert(steps_y, 0, steps_y[0])
    axes.plot(
        steps_x,
        steps_y,
        drawstyle=f"steps-{where}",
        color=STEP,
        linewidth=1.4,
        label="front",
        gid="front",
        zorder=2,
    )


def _dots(
    axes: Axes, x: Axis, y: Axis, front: NDArrayBool, points: Sequence[Mapping[str, Any]]
) -> PathCollection | None:
    """Draw the points; the coloured ones are returned for the colour bar."""
    shown = (x.inside(x.values) == x.values) & (y.inside(y.values) == y.values)
    strength = np.array([number(point, "penalty_strength") for point in points])
    positive = np.isfinite(strength) & (strength > 0.0)
    schedules = [str(point.get("temperature_schedule") or "") for point in points]
    names = sorted(set(schedules))
    norm = _strengths(strength[front & positive])
    coloured = None
    for i, name in enumerate(names):
        mine = shown & np.array([schedule == name for schedule in schedules])
        marker = MARKERS[i % len(MARKERS)]
        rest, bare = mine & ~front, mine & front & ~positive
        style: dict[str, Any] = {"marker": marker, "zorder": 3}
        axes.scatter(x.values[rest], y.values[rest], s=22, c=DOMINATED, alpha=0.75, **style)
        axes.scatter(x.values[bare], y.values[bare], s=64, c="white", edgecolors=STEP, **style)
        mine &= front & positive
        if mine.any():
            coloured = axes.scatter(
                x.values[mine],
                y.values[mine],
                s=64,
                c=np.log10(strength[mine]),
                cmap="viridis",
                norm=norm,
                edgecolors=STEP,
                linewidths=0.8,
                **style,
            )
        if len(names) > 1:
            axes.scatter(
                [],
                [],
                facecolors="none",
                edgecolors=STEP,
                marker=marker,
                label=name or "no schedule",
            )
    if front.any() and not front.all():
        axes.scatter([], [], s=22, c=DOMINATED, alpha=0.75, label="dominated")
    if (front & ~positive).any():
        words = "penalty strength 0 or unknown"
        axes.scatter([], [], s=64, c="white", edgecolors=STEP, label=words)
    return coloured


def _strengths(strength: Values) -> Normalize | None:
    if not strength.size:
        return None
    low, high = float(np.log10(strength.min())), float(np.log10(strength.max()))
    return Normalize(low - 0.5, high + 0.5) if low == high else Normalize(low, high)


def _colour_bar(figure: Figure, axes: Axes, colours: PathCollection) -> None:
    bar = figure.colorbar(colours, ax=axes, pad=0.02, aspect=30)
    bar.set_label("penalty strength (points on the front)")
    low, high = (10.0**end for end in colours.get_clim())
    ticks = log_ticks(low, high)
    if len(ticks) < 2:
        ticks = [
            tick
            for tick in MaxNLocator(5, steps=(1, 2, 5, 10)).tick_values(low, high)
            if low <= tick <= high
        ]
    bar.set_ticks([float(np.log10(tick)) for tick in ticks])
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{10.0**tick:.3g}"))


def _arrowheads(axes: Axes, x: Axis, y: Axis) -> int:
    """Mark points out of range at the border, and return their number."""
    seen_x, seen_y = x.inside(x.values), y.inside(y.values)
    sides = {
        "<": x.values < seen_x,
        ">": x.values > seen_x,
        "v": y.values < seen_y,
        "^": y.values > seen_y,
    }
    for marker, out in sides.items():
        axes.scatter(
            seen_x[out],
            seen_y[out],
            marker=marker,
            s=46,
            c=DOMINATED,
            edgecolors=STEP,
            linewidths=0.6,
            clip_on=False,
            zorder=4,
        )
    return int(np.any(list(sides.values()), axis=0).sum())


def _reference(axes: Axes, x: Axis, y: Axis, cost: float, value: float) -> None:
    seen = float(np.clip(cost, *x.limits)), float(np.clip(value, *y.limits))
    away = "" if seen == (cost, value) else f", out of range at ({cost:.4g}, {value:.4g})"
    axes.scatter(
        *seen,
        marker="x",
        c="#D55E00",
        s=60,
        linewidths=2.0,
        clip_on=False,
        zorder=5,
        label=f"reference point{away}",
    )


def _notes(axes: Axes, not_finite: int, outside: int) -> None:
    notes = []
    if outside:
        notes.append(f"{outside} out of range (arrowheads at the border)")
    if not_finite:
        notes.append(f"{not_finite} left out, as not finite")
    axes.text(
        0.0,
        1.015,
        "; ".join(notes),
        transform=axes.transAxes,
        fontsize=9,
        color=LIGHT.pale_ink,
        va="bottom",
    )


def _legend(figure: Figure, axes: Axes) -> None:
    """Below the axes, where it hides no point."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
