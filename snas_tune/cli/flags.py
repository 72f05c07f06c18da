"""Flags from the fields of a dataclass: names, types, defaults and documents are its own."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

Flag = tuple[str, Any, Any]
"""Name, type and default (a ``dataclasses.field``) of a field that tyro makes a flag of."""


class Flags:
    """A command whose flags are the fields of a dataclass that is made below it."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def documents(kind: type) -> dict[str, str]:
    """The text below each field of a dataclass, as one line of plain text, by the field's name."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: plain(text.value.value)
        for field, text in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def plain(text: str) -> str:
    """A docstring on one line, without the marks of reStructuredText."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"\1", text)
    return " ".join(text.replace("``", "").split())


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def flag(
    name: str, kind: Any, default: Any, document: str, *, metavar: str | None = None, **more: Any
) -> Flag:
    """A field for :func:`dataclasses.make_dataclass`.

    Args:
        name: of the field; hyphens stand for its underscores on the command line.
        kind: its type.
        default: its default.
        document: a sentence for the help, to which tyro adds the default.
        metavar: what stands for the value in the help; from the type if not given.
        more: for ``tyro.conf.arg``.
    """
    if default is None or default is False:
        more.setdefault("help_behavior_hint", "")  # the sentence says how it is without the flag
    config = arg(help=document, metavar=metavar, **more)
    return name, Annotated[kind, config], dataclasses.field(default_factory=lambda: default)


def flags_of(
    kind: type,
    names: Iterable[str] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
) -> list[Flag]:
    """A flag for fields of a dataclass, with the first sentence of each one's document.

    Args:
        kind: the dataclass.
        names: of the fields; all of them if not given.
        defaults: other defaults, by name. ``None`` makes a field optional.
        texts: other sentences for the help, by name.
    """
    types, own = typing.get_type_hints(kind), defaults_of(kind)
    sentences = {**documents(kind), **(texts or {})}
    given = {**own, **(defaults or {})}
    return [
        flag(
            name,
            types[name] | None if given[name] is None else types[name],
            given[name],
            first_sentence(sentences[name]),
        )
        for name in (own if names is None else names)
    ]


def defaults_of(kind: type) -> dict[str, Any]:
    """The default of each field of a dataclass; ``None`` where there is none."""
    found = {}
    for each in dataclasses.fields(kind):
        value = each.default
        if each.default_factory is not dataclasses.MISSING:
            value = each.default_factory()
        found[each.name] = None if value is dataclasses.MISSING else value
    return found
