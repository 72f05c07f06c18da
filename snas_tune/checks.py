"""Checks of settings: a test of a value, and its demand in the words of an error message.

A dataclass says the check of each field beside it, and checks all of them when it is made::

    @dataclass(frozen=True)
    class Settings:
        rate: Annotated[float, POSITIVE] = 0.1
        steps: Annotated[int | None, COUNT] = None

        def __post_init__(self) -> None:
            check_fields(self)
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints


class Check(NamedTuple):
    """A test of a value, and its demand in ``<setting> must be <demand>``."""

    test: Callable[[Any], bool]
    demand: str


def check_fields(settings: Any) -> None:
    """Check every field of a dataclass whose type is ``Annotated`` with a :class:`Check`.

    A field whose type allows None may be None.

    Raises:
        ValueError: a value does not pass: ``<name> must be <demand>, got <value>``.
    """
    kind: Any = type(settings)
    for name, checks, optional in _field_checks(kind):
        value = getattr(settings, name)
        if optional and value is None:
            continue
        for check in checks:
            check_value(name, value, check)


def check_value(name: str, value: object, check: Check) -> None:
    """Check one value.

    Raises:
        ValueError: it does not pass: ``<name> must be <demand>, got <value>``.
    """
    if not holds(check.test, value):
        raise ValueError(f"{name} must be {check.demand}, got {value!r}")


@functools.cache
def _field_checks(kind: type) -> tuple[tuple[str, tuple[Check, ...], bool], ...]:
    """Name, checks, and whether None is allowed, of each field of a dataclass that has a check."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in dataclasses.fields(kind):
        parts = tuple(_parts(hints[field.name]))
        checks = tuple(part for part in parts if isinstance(part, Check))
        if checks:
            found.append((field.name, checks, type(None) in parts))
    return tuple(found)


def demands_of(kind: type) -> dict[str, str]:
    """The demand of each field of a dataclass that has a check, in words."""
    return {
        name: " and ".join(check.demand for check in checks)
        for name, checks, _ in _field_checks(kind)
    }


def marked(kind: type, mark: object) -> tuple[str, ...]:
    """The fields of a dataclass whose annotation holds a mark, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    names = (field.name for field in dataclasses.fields(kind))
    return tuple(name for name in names if any(part is mark for part in _parts(hints[name])))


def _parts(hint: Any) -> Iterator[Any]:
    """The members of a type's unions and the notes of its ``Annotated``, one inside the other."""
    if get_origin(hint) is Annotated:
        yield from hint.__metadata__
        yield from _parts(hint.__origin__)
    elif get_origin(hint) in (Union, types.UnionType):
        for part in get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def holds(test: Callable[[Any], bool], value: Any) -> bool:
    """Whether a value passes; a value that the test cannot compare does not."""
    try:
        return bool(test(value))
    except (TypeError, ValueError, OverflowError):  # of a text, of an array, of 10**400
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


def is_instance(kind: type) -> Check:
    """A value of a class."""
    return Check(lambda value: isinstance(value, kind), f"a value of {kind.__name__}")


ABOVE_ONE = Check(lambda value: is_number(value) and value > 1, "above 1")
COUNT = Check(lambda value: is_count(value, 1), "a positive whole number")
COUNT_OR_ZERO = at_least(0)
SEED = Check(
    lambda value: is_count(value, 0) and value < 2**32, "a whole number from 0 to 4294967295"
)
"""Of Optuna, whose seeds are numpy's of 32 bits."""
POSITIVE = Check(lambda value: is_number(value) and value > 0, "positive")
NOT_NEGATIVE = Check(lambda value: is_number(value) and value >= 0, "0 or more")
SHARE = Check(lambda value: is_number(value) and 0 <= value < 1, "at least 0 and below 1")
OPEN_SHARE = Check(lambda value: is_number(value) and 0 < value < 1, "above 0 and below 1")
MOST_CHANNELS = 64
"""Of an image; a longer axis is taken for a side, or for a mistake."""
CHANNELS = Check(
    lambda value: is_count(value, 1) and value <= MOST_CHANNELS,
    f"a whole number from 1 to {MOST_CHANNELS}",
)
FLAG = Check(lambda value: isinstance(value, bool), "true or false")
TEXT = Check(lambda value: isinstance(value, str) and value != "", "a text")
