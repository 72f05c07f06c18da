"""The two axes of a front's picture: shown values, limits, and logarithmic scales with a zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from snas_tune.pictures.scales import Values, display, log_ticks, padded, spans_decades, window
from snas_tune.pictures.style import LIGHT
from snas_tune.results import ACCURACY, BALANCED, CHILD_ACCURACY

NDArrayBool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Axis:
    """The displayed values of one objective and the limits of its axis."""

    values: Values
    label: str
    limits: tuple[float, float]
    log: bool
    threshold: float
    """Where a logarithmic axis with zeros turns linear; 0 without zeros."""

    def inside(self, values: Values) -> Values:
        """The values, those out of range moved to the border."""
        return np.clip(values, *self.limits)


def axis_of(
    name: str, values: Values, front: NDArrayBool, log: bool | None, metric: str = "accuracy"
) -> Axis:
    """The axis of an objective.

    Args:
        name: of the objective.
        values: (n,), in the unit that is shown.
        front: (n,) which of them are on the front; the limits hold all of these.
        log: logarithmic; None where positive values differ by more than a factor of 30.
        metric: by which accuracies were measured.
    """
    log = bool((values > 0.0).any()) and (spans_decades(values) if log is None else log)
    label = display(name)[1]
    if metric == BALANCED and name in (ACCURACY, CHILD_ACCURACY):
        label = f"balanced {label}"
    if not log:
        low, high = window(values, values[front])
        return Axis(values, label, padded(low, high), False, 0.0)
    positive = values > 0.0
    ends = window(np.log10(values[positive]), np.log10(values[positive & front]))
    low, high = (10.0**end for end in padded(*ends))
    if positive.all():
        return Axis(values, label, (low, high), True, 0.0)
    return Axis(values, label, (-0.3 * low, high), True, low)


def prepare(axes: Axes, x: Axis, y: Axis) -> None:
    """Give matplotlib's axes the scales, limits, labels and grid of both."""
    if x.log:
        low = x.threshold or x.limits[0]
        if x.threshold:
            axes.set_xscale("symlog", linthresh=low, linscale=0.25)
            axes.axvline(low, color=LIGHT.pale_line, linewidth=0.8, linestyle=":")
        else:
            axes.set_xscale("log")
        ticks = ([0.0] if x.threshold else []) + log_ticks(low, x.limits[1])
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    axes.set_xlim(*x.limits)
    axes.set_ylim(*y.limits)
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    axes.grid(color="#E3E7EA", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
