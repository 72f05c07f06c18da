"""Every public function of the package, and the wrong values that each of its parameters is fed."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import numpy as np

HUGE_TEXT = "x" * 1_000_000

CASES: dict[str, Any] = {
    "None": None,
    "True": True,
    "empty text": "",
    "blank": " ",
    "text": "text",
    "number as text": "1",
    "bytes": b"",
    "NaN": math.nan,
    "infinity": math.inf,
    "-infinity": -math.inf,
    "-1": -1,
    "0": 0,
    "1": 1,
    "1.5": 1.5,
    "10**400": 10**400,
    "2**64": 2**64,
    "list": [],
    "tuple": (),
    "dict": {},
    "set": {3},
    "list of texts": ["text"],
    "list of None": [None],
    "dict of None": {"text": None},
    "object": object(),
    "class": dict,
    "NUL": "a\0b",
    "two lines": "a\nb",
    "huge text": HUGE_TEXT,
    "half a character": "\ud800",
    "int64": np.int64(3),
    "float32": np.float32(0.5),
    "bool_": np.bool_(True),
    "array": np.ones((2, 2)),
    "complex": 1j,
}

NUMBERS = {"0", "1", "1.5", "2**64", "int64", "float32"}
TEXTS = {"text", "number as text"}
ANY_TEXT = {*TEXTS, "empty text", "blank", "NUL", "two lines"}

KINDS: dict[str, set[str]] = {
    "number": {*NUMBERS, "-1"},
    "not negative": NUMBERS,
    "positive": NUMBERS - {"0"},
    "size": NUMBERS - {"0", "2**64"},
    "size or 0": NUMBERS - {"2**64"},
    "above 1": {"1.5", "2**64", "int64"},
    "whole": {"0", "1", "int64"},
    "count": {"1", "int64"},
    "2 or more": {"int64"},
    "share": {"0", "float32"},
    "open share": {"float32"},
    "whole share": {"0", "1", "float32"},
    "bound": {*NUMBERS, "-1", "infinity", "-infinity"},
    "flag": {"True", "bool_"},
    "text": TEXTS,
    "path": TEXTS,
    "title": ANY_TEXT,
    "mapping": {"dict"},
    "settings": {"dict", "dict of None"},
    "points": {"list", "tuple"},
    "function": {"class"},
    "value": set(),
    "anything": set(CASES),
}
"""What a parameter may be, by the cases that it takes. ``?`` behind it takes None, too."""


def accepted(kind: str) -> set[str]:
    """The cases that a parameter of that kind takes."""
    found: set[str] = set()
    for part in kind.removesuffix("?").split("|"):
        found |= KINDS.get(part, {part})
    return found | ({"None"} if kind.endswith("?") else set())


@dataclasses.dataclass
class Walked:
    """A function with arguments that are right, and the kind of each parameter."""

    call: Callable[..., Any]
    base: Mapping[str, Any]
    kinds: Mapping[str, str]
    told: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What a message calls a parameter, where not by its name."""


def public_functions(modules: tuple[str, ...]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions, constructors and methods that a module shows, by their names without snas_tune.

    Of a class those methods count that it defines and that take an argument.
    """
    for module in modules:
        for name, value in _shown(import_module(module)):
            home = f"{module.removeprefix('snas_tune').lstrip('.')}.{name}".lstrip(".")
            if inspect.isclass(value):
                yield home, value
                for method, function in _methods(value):
                    if parameters(function, value):
                        yield f"{home}.{method}", function
            elif callable(value):
                yield home, value


def _shown(module: Any) -> list[tuple[str, Any]]:
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return [(name, getattr(module, name)) for name in names]


def _methods(kind: type) -> list[tuple[str, Callable[..., Any]]]:
    found = []
    for name, value in vars(kind).items():
        function = getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(function):
            found.append((name, function))
    return found


def parameters(function: Callable[..., Any], owner: type | None = None) -> list[str]:
    """The names of a function's parameters, without ``self`` and ``cls``; ``**rest`` with stars."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of an exception, say
        return []
    return [
        f"**{name}" if each.kind is each.VAR_KEYWORD else name
        for name, each in signature.parameters.items()
        if name not in ("self", "cls") and each.kind is not each.VAR_POSITIONAL
    ]
