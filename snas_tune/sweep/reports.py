"""What a scheduler and a searcher read of a trial's result: time and objectives, as numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import (
    AUTO_RESULT_KEYS,
    DEBUG_METRICS,
    DEFAULT_EXPERIMENT_INFO_KEYS,
    DONE,
    SHOULD_CHECKPOINT,
)

from snas_tune.front.dominance import signs
from snas_tune.objective_checks import Objectives
from snas_tune.values import perhaps, plain, shown

NOT_STRICT = "TUNE_DISABLE_STRICT_METRIC_CHECKING"
"""Tune's own switch: if it is 1, the first result need not hold every name."""

OF_TUNE = (*AUTO_RESULT_KEYS, *DEFAULT_EXPERIMENT_INFO_KEYS, *DEBUG_METRICS, SHOULD_CHECKPOINT)
"""What Tune adds to every result."""

MOST_NAMES = 20
"""Names that a message lists."""


class Reports:
    """Reads results, and refuses names that no trial reports.

    The first result of a sweep must hold every name, with NaN where a value is not known; later
    ones may leave some out.

    Args:
        objectives: names and modes.
        time_attr: the result that says how far a trial is.
    """

    def __init__(self, objectives: Objectives, time_attr: str) -> None:
        self._signs = signs([mode for _, mode in objectives]).tolist()
        self._metrics = [name for name, _ in objectives]
        self._time_attr = time_attr
        self._unseen = {time_attr, *self._metrics}

    def trust(self) -> None:
        """Take the names as those that trials report: they did before."""
        self._unseen.clear()

    def check_names(self, result: Mapping[str, Any]) -> None:
        """Refuse a name that is in no result so far.

        Raises:
            ValueError: there is one; the message says what there is.
        """
        names = [name for name in result if name not in (*DEBUG_METRICS, DONE)]
        if not self._unseen or len(names) < 2 or os.environ.get(NOT_STRICT) == "1":
            return  # Tune's own result of a trial that reported none has no more
        for name in (self._time_attr, *self._metrics):
            if name in self._unseen and name not in result:
                what = "time_attr" if name == self._time_attr else "metric"
                near = perhaps(name, [each for each in names if isinstance(each, str)])
                raise ValueError(
                    f"{what} must be the name of a result, got {name!r}; "
                    f"{near + '; ' if near else ''}there are {_listed(names)}"
                )
        self._unseen.clear()

    def time(self, trial: Trial, result: Mapping[str, Any]) -> float | None:
        """How far a trial is; ``None`` where the result does not say so, or says NaN.

        Raises:
            ValueError: it is no number, or infinite.
        """
        value = read_number(trial, self._time_attr, result.get(self._time_attr))
        if value is None or math.isnan(value):
            return None
        if math.isinf(value):
            raise ValueError(f"{self._time_attr} of trial {trial} must be finite, got {value}")
        return value

    def costs(self, trial: Trial, result: Mapping[str, Any]) -> list[float | None]:
        """Every objective, to be minimised; ``None`` where it was not measured.

        Raises:
            ValueError: one is no number.
        """
        values = [read_number(trial, name, result.get(name)) for name in self._metrics]
        return [
            None if value is None else sign * value
            for sign, value in zip(self._signs, values, strict=True)
        ]


def read_number(trial: Any, name: str, value: Any) -> float | None:
    """A result as a number, also one of numpy or torch; ``None`` for ``None``.

    Raises:
        ValueError: it is none, or too large for one; the message names the trial and the result.
    """
    if value is None:
        return None
    try:
        single = plain(value)
        number = hasattr(single, "__float__") or hasattr(single, "__index__")
        if number and not isinstance(single, bool) and getattr(single, "shape", ()) == ():
            return float(single)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # a tensor without data
        pass
    raise ValueError(f"{name} of trial {trial} must be a number, got {shown(value)}")


def _listed(names: Iterable[Any]) -> str:
    texts = map(str, names)
    known = sorted(name for name in texts if name not in OF_TUNE and not name.startswith("config/"))
    more = ["..."] if len(known) > MOST_NAMES else []
    return ", ".join([*known[:MOST_NAMES], *more])
