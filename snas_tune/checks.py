"""Checks of settings: a test of a value, and its demand in the words of an error message.

A dataclass of settings has the check of each field beside it, as ``trials: Annotated[int, COUNT]``,
and calls :func:`check_fields` in its ``__post_init__``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, get_type_hints


class Check(NamedTuple):
    """What a setting must be."""

    test: Callable[[Any], bool]
    demand: str
    """Of a value that passes: ``<setting> must be <demand>``."""


def check_fields(settings: Any) -> None:
    """Check every field of a dataclass that has a :class:`Check` in its annotation.

    ``None`` passes where it is the field's default.

    Raises:
        ValueError: a value does not pass; the message names the field, its demand and the value.
    """
    kind: Any = type(settings)
    for name, (optional, check) in _checks(kind).items():
        value = getattr(settings, name)
        if not (optional and value is None) and not holds(check.test, value):
            raise ValueError(f"{name} must be {check.demand}, got {value!r}")


@functools.cache
def _checks(kind: type) -> dict[str, tuple[bool, Check]]:
    """By field: whether it may be ``None``, and its check."""
    return {
        field.name: (field.default is None, mark)
        for field in dataclasses.fields(kind)
        for mark in _marks(kind, field.name)
        if isinstance(mark, Check)
    }


def marked(kind: type, mark: object) -> tuple[str, ...]:
    """The fields of a dataclass whose annotation holds a mark, in their order."""
    names = (field.name for field in dataclasses.fields(kind))
    return tuple(name for name in names if any(each is mark for each in _marks(kind, name)))


def _marks(kind: type, name: str) -> tuple[Any, ...]:
    """What stands in a field's ``Annotated`` beside its type."""
    marks: tuple[Any, ...] = getattr(_hints(kind)[name], "__metadata__", ())
    return marks


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def holds(test: Callable[[Any], bool], value: Any) -> bool:
    """Whether a value passes; what cannot be compared does not."""
    try:
        return bool(test(value))
    except TypeError:
        return False


def is_count(value: Any, least: int) -> bool:
    """A whole number, ``least`` or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: Any) -> bool:
    """A finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def are_different_names(value: Any) -> bool:
    """Two texts or more, none twice."""
    names = isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    return names and len(set(value)) == len(value) >= 2


def choice(choices: tuple[str, ...]) -> Check:
    """One of some texts."""
    return Check(lambda value: value in choices, f"one of {', '.join(choices)}")


def at_least(least: int) -> Check:
    """A whole number, ``least`` or more."""
    return Check(lambda value: is_count(value, least), f"a whole number, {least} or more")


COUNT = Check(lambda value: is_count(value, 1), "a positive whole number")
COUNT_OR_ZERO = at_least(0)
POSITIVE = Check(lambda value: is_number(value) and value > 0, "positive")
NOT_NEGATIVE = Check(lambda value: is_number(value) and value >= 0, "0 or more")
SHARE = Check(lambda value: is_number(value) and 0 <= value < 1, "at least 0 and below 1")
OPEN_SHARE = Check(lambda value: is_number(value) and 0 < value < 1, "above 0 and below 1")
FLAG = Check(lambda value: isinstance(value, bool), "true or false")
TEXT = Check(lambda value: isinstance(value, str) and value != "", "a text")
