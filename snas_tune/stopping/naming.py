"""The name of a rule, by which a resumed sweep knows that it decides as before."""

from __future__ import annotations

import re
from types import FunctionType
from typing import Any

from snas_tune.values import shown as told


def name_of(rule: Any) -> str:
    """The name of a rule.

    Its attribute ``name``; or its representation, if that says what it does: of a function or a
    stateless object of a module's class, or an object of such a class with its own ``__repr__``,
    such as a dataclass.

    Raises:
        ValueError: it is no rule, or none of that.
    """
    if isinstance(rule, type) or not callable(rule):
        raise ValueError(
            f"rule must be a name or called with a history and a report, got {told(rule)}"
        )
    name = getattr(rule, "name", None)
    if isinstance(name, str) and name:
        return name
    shown = repr(rule)
    if not _is_known(rule, shown):
        called = getattr(rule, "__name__", _without_address(shown))
        raise ValueError(
            "rule must have a name that a resume can know: a function or class of a module, or an "
            f"attribute `name`, got {called}"
        )
    return _without_address(shown)


def short_name(rule: Any) -> str:
    """A few words for a rule in a message: its name, or that of its class."""
    for name in (getattr(rule, "name", None), getattr(rule, "__name__", None)):
        if isinstance(name, str) and name:
            return name
    return type(rule).__name__


def _is_known(rule: Any, shown: str) -> bool:
    if isinstance(rule, FunctionType):
        return "<" not in rule.__qualname__ and rule.__closure__ is None
    kind = type(rule)
    if "<" in kind.__qualname__ or kind.__module__ in ("builtins", "functools"):
        return False
    # What an object holds is not in the representation that it has from `object`.
    return " at 0x" not in shown or not (getattr(rule, "__dict__", None) or _slots(kind))


def _slots(kind: type) -> list[str]:
    return [name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ())]


def _without_address(text: str) -> str:
    """The same for the same rule in another process."""
    return re.sub(" at 0x[0-9a-f]+", "", text)
