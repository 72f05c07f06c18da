"""The objectives of a front: names of metrics, and whether more or less of each is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snas_tune.front.dominance import MODES

Objectives = tuple[tuple[str, str], ...]
"""Name and mode, ``max`` or ``min``, of each."""


def check_objectives(objectives: Any) -> Objectives:
    """Objectives as pairs, or as a mapping of names to modes.

    Raises:
        ValueError: they are not two or more different names with ``max`` or ``min`` each.
    """
    given = list(objectives.items()) if isinstance(objectives, Mapping) else objectives
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(map(_is_pair, given)):
        raise ValueError(
            f"objectives must be pairs of a name and {' or '.join(MODES)}, got {objectives!r}"
        )
    if len(given) < 2:
        raise ValueError(f"objectives must be two or more, got {list(given)}")
    if len({name for name, _ in given}) != len(given):
        raise ValueError(f"objectives must have different names, got {list(given)}")
    return tuple((name, mode) for name, mode in given)


def named_objectives(
    metrics: Sequence[str] | Mapping[str, str] | None, modes: Sequence[str] | None
) -> Objectives:
    """Objectives as names and modes, or as a mapping of names to modes alone.

    Raises:
        ValueError: a name has no mode, or as :func:`check_objectives`.
    """
    if isinstance(metrics, Mapping):
        if modes is not None:
            raise ValueError(f"modes must be left out where metrics maps to them, got {modes!r}")
        return check_objectives(metrics)
    names = metrics if isinstance(metrics, (list, tuple)) else ()
    if len(names) < 2 or not all(map(_is_name, names)) or len(set(names)) != len(names):
        raise ValueError(f"metrics must be two or more different names, got {metrics!r}")
    if (
        not isinstance(modes, (list, tuple))
        or len(modes) != len(names)
        or not all(mode in MODES for mode in modes)
    ):
        raise ValueError(
            f"modes must be {' or '.join(MODES)} for each of {len(names)} metrics, got {modes!r}"
        )
    return tuple(zip(names, modes, strict=True))


def check_own(objectives: Objectives, metric: Any, mode: Any) -> None:
    """Refuse a metric and mode, as Tune takes them, that are not one of the objectives.

    Raises:
        ValueError: they are not; both may be ``None``, and the mode alone.
    """
    if (metric is None and mode is None) or any(
        metric == name and mode in (None, own) for name, own in objectives
    ):
        return
    known = ", ".join(f"{name} ({own})" for name, own in objectives)
    raise ValueError(f"metric must be one of the objectives {known}, got {metric!r} ({mode})")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_pair(value: Any) -> bool:
    pair = isinstance(value, (list, tuple)) and len(value) == 2
    return pair and _is_name(value[0]) and isinstance(value[1], str) and value[1] in MODES
