"""Axes for reported quantities: labels with units, and limits that no far point can spoil."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snas_tune.results import METRICS

Values = NDArray[np.float64]

LABELS: dict[str, tuple[float, str]] = {
    "child_accuracy": (100.0, "validation accuracy of the child (%)"),
    "accuracy": (100.0, "validation accuracy of the supernet (%)"),
    "train_accuracy": (100.0, "training accuracy (%)"),
    "flops": (1e-6, "MFLOPs (multiply-adds of one image)"),
    "expected_flops": (1e-6, "expected MFLOPs (multiply-adds of one image)"),
    "params": (1e-6, "parameters (millions)"),
    "params_with_dead": (1e-6, "parameters, dead parts kept (millions)"),
    "memory": (1e-6, "memory traffic (million elements of one image)"),
    "latency_ms": (1.0, "latency of one image (ms)"),
}
"""Factor from a reported value to the display, and the axis label, by the value's name."""

TAIL = 0.05
"""The share at either end that may be far away without a say in an axis' limits."""

FAR = 6.0
"""Median deviations from the median beyond which a point is far away."""

LOG_SPAN = 30.0
"""Costs that differ by more than this factor get a logarithmic axis."""


def display(name: str) -> tuple[float, str]:
    """The factor and the axis label of a reported quantity, see :data:`LABELS`."""
    if name in LABELS:
        return LABELS[name]
    unit = next((metric.unit for metric in METRICS if metric.name == name), "")
    return 1.0, name.replace("_", " ") + (f" ({unit})" if unit else "")


def number(row: Mapping[str, Any], name: str) -> float:
    """A row's value, NaN where it is missing, empty or no number."""
    try:
        return float(row.get(name, math.nan))
    except (TypeError, ValueError):
        return math.nan


def window(values: Values, always: Values) -> tuple[float, float]:
    """The range that an axis should show.

    Args:
        values: all values.
        always: values that must be inside, as those on the front.

    Returns:
        The least and the greatest of ``always`` and of the values that are not far away: within
        half a width of the 5 to 95 % quantiles, and within :data:`FAR` median absolute deviations
        of the median (not asked where over half of the values are equal).
    """
    low, high = np.quantile(values, (TAIL, 1.0 - TAIL))
    slack = (high - low) / 2
    near = (values >= low - slack) & (values <= high + slack)
    distance = np.abs(values - np.median(values))
    deviation = float(np.median(distance))
    if deviation > 0.0:
        near &= distance <= FAR * deviation
    shown = np.concatenate([values[near], always])
    return float(shown.min()), float(shown.max())


def padded(low: float, high: float) -> tuple[float, float]:
    """The range with a margin of 6 % on either side, and some width where it has none."""
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def spans_decades(values: Values) -> bool:
    """Whether positive values differ by more than :data:`LOG_SPAN`."""
    positive = values[values > 0.0]
    return positive.size > 0 and bool(positive.max() > LOG_SPAN * positive.min())


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten from ``low`` to ``high``; only powers if those are many.

    Args:
        low: positive.
        high: not below ``low``.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1.0,) if len(decades) > 4 else (1.0, 2.0, 5.0)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]
