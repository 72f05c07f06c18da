"""What a setting may be: a test of a value, and the rule in the words of an error message."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Rule = tuple[Callable[[Any], bool], str]
"""The test, and what it asks for: ``<setting> must be <rule>``."""


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


def choice(choices: tuple[str, ...]) -> Rule:
    """One of some texts."""
    return (lambda value: value in choices), f"one of {', '.join(choices)}"


def at_least(least: int) -> Rule:
    """A whole number, ``least`` or more."""
    return (lambda value: is_count(value, least)), f"a whole number, {least} or more"


COUNT = (lambda value: is_count(value, 1)), "a positive whole number"
COUNT_OR_ZERO = at_least(0)
POSITIVE = (lambda value: is_number(value) and value > 0), "positive"
NOT_NEGATIVE = (lambda value: is_number(value) and value >= 0), "0 or more"
SHARE = (lambda value: is_number(value) and 0 <= value < 1), "at least 0 and below 1"
OPEN_SHARE = (lambda value: is_number(value) and 0 < value < 1), "above 0 and below 1"
FLAG = (lambda value: isinstance(value, bool)), "true or false"
TEXT = (lambda value: isinstance(value, str) and value != ""), "a text"
