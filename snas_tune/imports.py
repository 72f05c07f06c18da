"""Imports of a user's modules, which may fail in any way."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from snas_tune.values import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_REASON = 200
"""Most characters of why an import failed."""


def import_named(setting: str, name: str) -> Any:
    """The module ``name``, or what ``module:name`` means.

    Args:
        setting: that names it, for messages.
        name: of a module, or of something in one.

    Raises:
        ValueError: the import fails, be it that the module ends the program.
    """
    module, colon, attribute = name.partition(":")
    with whatever_it_raises(f"{setting} must be importable, got {shown(name)}"):
        found = import_module(module)
        return getattr(found, attribute) if colon else found


@contextmanager
def whatever_it_raises(rule: str) -> Iterator[None]:
    """Turn whatever a user's code raises, also to end the program, into one line.

    Raises:
        ValueError: in place of anything but Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MOST_REASON]
        raise ValueError(f"{rule} ({reason})") from error
