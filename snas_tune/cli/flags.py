"""Flags from the fields of a dataclass: names, types, defaults and documents are its own."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from snas_tune.documents import documents, first_sentence

Flag = tuple[str, Any, Any]
"""Name, type and default (a ``dataclasses.field``) of a field that tyro makes a flag of."""


class Flags:
    """A command whose flags are the fields of a dataclass that is made below it."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


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
    metavars: Mapping[str, str] | None = None,
) -> list[Flag]:
    """A flag for fields of a dataclass, with the first sentence of each one's document.

    Args:
        kind: the dataclass.
        names: of the fields; all of them if not given.
        defaults: other defaults, by name. ``None`` makes a field optional.
        texts: other sentences for the help, by name.
        metavars: other words for the values in the help, by name.
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
            metavar=(metavars or {}).get(name),
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
