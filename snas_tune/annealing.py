"""Temperature schedules: how the concrete sample sharpens from the first step to the last.

The temperature is a function of the step and of the horizon, so it is never stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from snas_tune.arguments import checked
from snas_tune.checks import COUNT, COUNT_OR_ZERO, POSITIVE, check_value, choice

SCHEDULES: dict[str, Callable[[float, float, float], float]] = {
    "linear": lambda start, end, done: start + (end - start) * done,
    "exponential": lambda start, end, done: start * (end / start) ** done,
    "cosine": lambda start, end, done: end + (start - end) * (1 + math.cos(math.pi * done)) / 2,
    "constant": lambda start, end, done: start,
}
"""By name: ``(start, end, share of the horizon done)`` to temperature. SNAS published ``linear``,
1 to 0.03, by epoch; here every schedule moves by step."""


KIND = choice(SCHEDULES)


def check_schedule(kind: str) -> None:
    """Raise ``ValueError`` unless ``kind`` is in :data:`SCHEDULES`."""
    check_value("temperature_schedule", kind, KIND)


@checked
def temperature_at(
    kind: Annotated[str, KIND],
    start: Annotated[float, POSITIVE],
    end: Annotated[float, POSITIVE],
    step: Annotated[int, COUNT_OR_ZERO],
    steps: Annotated[int, COUNT],
) -> float:
    """Temperature of step ``step`` (from 0) of a search of ``steps`` steps.

    The first step has ``start`` and the last has ``end``, up to rounding; ``constant`` stays at
    ``start``.

    Raises:
        ValueError: ``kind`` is unknown, or ``step`` is outside of the search.
    """
    if not 0 <= step < steps:
        raise ValueError(f"step must be from 0 to {steps - 1}, got {step}")
    return SCHEDULES[kind](start, end, step / max(1, steps - 1))
