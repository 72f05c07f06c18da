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
import os
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from snas_tune.values import plain, shown


class Check(NamedTuple):
    """A test of a value, and its demand in ``<setting> must be <demand>``."""

    test: Callable[[Any], bool]
    demand: str


Checks = tuple[Check, ...]
"""Checks that belong together; the first that fails is told."""


def check_fields(settings: Any) -> None:
    """Check every field of a dataclass whose type is ``Annotated`` with a :class:`Check`.

    A field whose type allows None may be None. Numbers of NumPy and torch become Python's.

    Raises:
        ValueError: a value does not pass: ``<name> must be <demand>, got <value>``.
    """
    kind: Any = type(settings)
    for rule in _field_rules(kind):
        value = getattr(settings, rule.name)
        checked = rule.checked(value)
        if checked is not value:
            object.__setattr__(settings, rule.name, checked)


def check_value(name: str, value: Any, *checks: Check | Checks) -> Any:
    """Check one value.

    Returns:
        The value; a number of NumPy or torch as Python's.

    Raises:
        ValueError: it does not pass: ``<name> must be <demand>, got <value>``.
    """
    value = plain(value)
    for check in flat(checks):
        if not holds(check.test, value):
            raise ValueError(f"{name} must be {check.demand}{_beyond(value)}, got {shown(value)}")
    return value


def _beyond(value: object) -> str:
    """What a number lacks that no rule allows, behind the words of a rule."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return "" if -LARGEST <= value <= LARGEST else " and below 2**63"
    return " and finite" if math.isinf(value) else ""


class Rule(NamedTuple):
    """What a parameter may be."""

    name: str
    checks: Checks
    optional: bool
    """Whether it may be None."""

    def checked(self, value: Any) -> Any:
        """The value, checked as :func:`check_value` does."""
        if value is None and self.optional:
            return None
        return check_value(self.name, value, self.checks)


def rules_of(hints: dict[str, Any]) -> tuple[Rule, ...]:
    """The rule of each name whose type is ``Annotated`` with checks."""
    found = []
    for name, hint in hints.items():
        parts = tuple(_parts(hint))
        if checks := tuple(flat(parts)):
            found.append(Rule(name, checks, type(None) in parts))
    return tuple(found)


def flat(parts: Iterable[Any]) -> Iterator[Check]:
    """The checks among some notes, those of a group one by one."""
    for part in parts:
        if isinstance(part, Check):
            yield part
        elif isinstance(part, tuple):
            yield from flat(part)


@functools.cache
def _field_rules(kind: type) -> tuple[Rule, ...]:
    """The rule of each field of a dataclass that has one."""
    hints = get_type_hints(kind, include_extras=True)
    return rules_of({field.name: hints[field.name] for field in dataclasses.fields(kind)})


def demands_of(kind: type) -> dict[str, str]:
    """The demand of each field of a dataclass that has a check, in words."""
    return {
        rule.name: " and ".join(check.demand for check in rule.checks)
        for rule in _field_rules(kind)
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


MOST_TEXT = 4096
"""Most bytes of any text that is a name, a path or an address."""

LARGEST = 2**63 - 1
"""The largest whole number that files and tensors hold."""


def is_count(value: Any, least: int) -> bool:
    """A whole number, ``least`` or more, of at most 63 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST


def is_number(value: Any) -> bool:
    """A finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def are_different_names(value: Any) -> bool:
    """Two texts or more, none twice."""
    names = isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    return names and len(set(value)) == len(value) >= 2


def encoded(value: Any) -> bytes:
    """A text or a path in bytes.

    Raises:
        TypeError: it is neither.
        ValueError: it holds half of a character.
    """
    text = os.fspath(value)
    if not isinstance(text, str):
        raise TypeError(f"a path must be a text, got {type(text).__name__}")
    return text.encode()


def choice(choices: Iterable[str]) -> Check:
    """One of some texts."""
    known = tuple(choices)
    return Check(lambda value: value in known, f"one of {', '.join(known)}")


def at_least(least: int) -> Check:
    """A whole number, ``least`` or more."""
    return Check(lambda value: is_count(value, least), f"a whole number, {least} or more")


def at_most(most: float) -> Check:
    """A number behind the check of its kind: no more than ``most``, which is far beyond use."""
    return Check(lambda value: value <= most, f"at most {most}")


def is_instance(*kinds: type, words: str = "") -> Check:
    """A value of a class, or of one of several."""
    named = words or f"a value of {' or '.join(kind.__name__ for kind in kinds)}"
    return Check(lambda value: isinstance(value, kinds), named)


ABOVE_ONE = Check(lambda value: is_number(value) and value > 1, "above 1")
COUNT = Check(lambda value: is_count(value, 1), "a positive whole number")
COUNT_OR_ZERO = at_least(0)
SEED = Check(
    lambda value: is_count(value, 0) and value < 2**32, "a whole number from 0 to 4294967295"
)
"""Of Optuna, whose seeds are numpy's of 32 bits."""
NUMBER = Check(is_number, "a number")
POSITIVE = Check(lambda value: is_number(value) and value > 0, "positive")
NOT_NEGATIVE = Check(lambda value: is_number(value) and value >= 0, "0 or more")
SHARE = Check(lambda value: is_number(value) and 0 <= value < 1, "at least 0 and below 1")
OPEN_SHARE = Check(lambda value: is_number(value) and 0 < value < 1, "above 0 and below 1")
WHOLE_SHARE = Check(lambda value: is_number(value) and 0 <= value <= 1, "from 0 to 1")
MOST_CHANNELS = 64
"""Of an image; a longer axis is taken for a side, or for a mistake."""
CHANNELS = Check(
    lambda value: is_count(value, 1) and value <= MOST_CHANNELS,
    f"a whole number from 1 to {MOST_CHANNELS}",
)
FLAG = Check(lambda value: isinstance(value, bool), "true or false")
FUNCTION = Check(callable, "a function")
A_TEXT = Check(lambda value: isinstance(value, str) and value.strip() != "", "a text")
ON_ONE_LINE = Check(
    lambda value: all(each >= 32 and each != 127 for each in encoded(value)),
    "without line breaks and other control characters",
)
SHORT = Check(lambda value: len(encoded(value)) <= MOST_TEXT, f"at most {MOST_TEXT} bytes")
TITLE = Check(
    lambda value: isinstance(value, str) and len(encoded(value)) <= MOST_TEXT,
    f"a text of at most {MOST_TEXT} bytes",
)
TEXT = (A_TEXT, ON_ONE_LINE, SHORT)
"""A name, or anything else that is told on one line."""
