"""The text below each field of a dataclass, for the command's help and for Python's ``help``."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import TypeVar

Kind = TypeVar("Kind", bound=type)


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


def documented(kind: Kind) -> Kind:
    """Add the text of each field of a dataclass to its own, so that ``help`` shows them.

    The texts are read from the source when they are first asked for.
    """
    kind.__doc__ = _Whole(kind.__doc__ or "")  # type: ignore[assignment]
    return kind


class _Whole:
    """The text of a class and of its fields."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._whole: str | None = None

    def __get__(self, instance: object, kind: type) -> str:
        if self._whole is None:
            self._whole = f"{inspect.cleandoc(self._own)}\n\nFields:\n{_listed(kind)}"
        return self._whole


def _listed(kind: type) -> str:
    try:
        texts = documents(kind)
    except (OSError, TypeError):  # there is no source
        return ""
    return "\n".join(
        textwrap.fill(f"{name}: {text}", 96, initial_indent="    ", subsequent_indent=" " * 8)
        for name, text in texts.items()
    )
