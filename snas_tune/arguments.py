"""Checks of a function's arguments, stated beside each parameter as beside a dataclass' fields.

A function says what each of its parameters may be::

    @checked
    def measure(layers: Iterable[Layer], *, repeats: Annotated[int, COUNT] = 30) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar, get_type_hints

from snas_tune.checks import Rule, rules_of

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A function that first checks those arguments whose parameters have checks.

    A parameter whose type allows None may be None. Numbers of NumPy and torch become Python's.

    Raises:
        ValueError: an argument does not pass: ``<name> must be <demand>, got <value>``.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs)
        for rule in rules_of_function(function):
            if rule.name in given.arguments:
                given.arguments[rule.name] = rule.checked(given.arguments[rule.name])
        return function(*given.args, **given.kwargs)

    return call


@functools.cache
def rules_of_function(function: Callable[..., Any]) -> tuple[Rule, ...]:
    """The rule of each parameter that has one."""
    noted = {
        name: hint
        for name, hint in function.__annotations__.items()
        if not isinstance(hint, str) or hint.startswith("Annotated[")
    }
    # The other types may be names that only a type checker imports.
    holder = SimpleNamespace(__annotations__=noted)
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return rules_of(get_type_hints(holder, globalns=names, include_extras=True))
