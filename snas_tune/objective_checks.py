"""Checks of objectives: names of metrics, and whether more or less of each is better; points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from snas_tune.checks import Check, check_value, is_number
from snas_tune.values import shown

MODES = ("max", "min")
"""The directions of an objective."""

Objectives = tuple[tuple[str, str], ...]
"""Name and mode, ``max`` or ``min``, of each."""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_mode(value: Any) -> bool:
    return isinstance(value, str) and value in MODES


def _are_pairs(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and _is_name(pair[0]) for pair in value
    )


PAIRS = Check(_are_pairs, "pairs of a name and max or min")
A_LIST = Check(lambda value: isinstance(value, (list, tuple)), "a list")
NUMBERS = Check(
    lambda value: not isinstance(value, (str, bytes)) and all(map(is_number, value)),
    "finite numbers",
)
"""A list, tuple or array of them."""

ROWS = Check(
    lambda value: (
        isinstance(value, (list, tuple)) and all(isinstance(row, Mapping) for row in value)
    ),
    "a list of rows, values by name of the column",
)

SOME_ROWS = Check(
    lambda value: isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)),
    "rows, values by name of the column",
)


def check_objectives(objectives: Any) -> Objectives:
    """Objectives as pairs, or as a mapping of names to modes.

    Raises:
        ValueError: they are not two or more different names with ``max`` or ``min`` each.
    """
    given = list(objectives.items()) if isinstance(objectives, Mapping) else objectives
    check_value("objectives", given, PAIRS)
    if len(given) < 2:
        raise ValueError(f"objectives must be two or more, got {shown(list(given))}")
    check_modes([mode for _, mode in given])
    names = [name for name, _ in given]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"objectives must have different names, got {shown(name)} twice")
    return tuple((name, mode) for name, mode in given)


def check_modes(modes: Iterable[Any]) -> None:
    """Refuse modes that are not a list of ``max`` and ``min``.

    Raises:
        ValueError: they are not.
    """
    check_value("modes", modes, A_LIST)
    for mode in modes:
        if not _is_mode(mode):
            raise ValueError(f"mode of an objective must be max or min, got {shown(mode)}")


def named_objectives(
    metrics: Sequence[str] | Mapping[str, str] | None, modes: Sequence[str] | None
) -> Objectives:
    """Objectives as names and modes, or as a mapping of names to modes alone.

    Raises:
        ValueError: a name has no mode, or as :func:`check_objectives`.
    """
    if isinstance(metrics, Mapping):
        if modes is not None:
            raise ValueError(
                f"modes must be left out where metrics maps to them, got {shown(modes)}"
            )
        return check_objectives(metrics)
    names = metrics if isinstance(metrics, (list, tuple)) else ()
    if len(names) < 2 or not all(map(_is_name, names)) or len(set(names)) != len(names):
        raise ValueError(f"metrics must be two or more different names, got {shown(metrics)}")
    if (
        not isinstance(modes, (list, tuple))
        or len(modes) != len(names)
        or not all(map(_is_mode, modes))
    ):
        raise ValueError(
            f"modes must be {' or '.join(MODES)} for each of {len(names)} metrics, "
            f"got {shown(modes)}"
        )
    return tuple(zip(names, modes, strict=True))


def check_own(objectives: Objectives, metric: Any, mode: Any) -> None:
    """Refuse a metric and mode, as Tune takes them, that are not one of the objectives.

    Raises:
        ValueError: they are not; both may be ``None``, and the mode alone.
    """
    named = _is_name(metric) and (mode is None or _is_mode(mode))
    if (metric is None and mode is None) or (
        named and any(metric == name and mode in (None, own) for name, own in objectives)
    ):
        return
    known = ", ".join(f"{name} ({own})" for name, own in objectives)
    raise ValueError(
        f"metric must be one of the objectives {known}, got {shown(metric)} ({shown(mode)})"
    )
