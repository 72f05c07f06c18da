"""Checks of objectives: pairs of a name and ``max`` or ``min``; their modes; points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from snas_tune.checks import Check, check_value, is_number
from snas_tune.values import shown

MODES = ("max", "min")
"""The directions of an objective."""


def _are_pairs(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str) and pair[0]
        for pair in value
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


def check_objectives(objectives: Any) -> None:
    """Refuse objectives that are not two or more different names with a mode each.

    Raises:
        ValueError: they are not.
    """
    check_value("objectives", objectives, PAIRS)
    if len(objectives) < 2:
        raise ValueError(f"objectives must be two or more, got {list(objectives)}")
    check_modes([mode for _, mode in objectives])
    names = [name for name, _ in objectives]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"objectives must have different names, got {shown(name)} twice")


def check_modes(modes: Iterable[Any]) -> None:
    """Refuse modes that are not a list of ``max`` and ``min``.

    Raises:
        ValueError: they are not.
    """
    check_value("modes", modes, A_LIST)
    for mode in modes:
        if mode not in MODES:
            raise ValueError(f"mode of an objective must be max or min, got {shown(mode)}")
