"""What a search derives, of whatever space: a value with a JSON form that names its space.

The front file, the event files, the tab and the pictures hold and show architectures of any space
through :class:`Architecture` alone. A space needs no class of its own for that: :class:`Picks`
holds the option of each of its choices. One that wants its own numbers, text or picture has a
class, in :data:`BUILT_IN` or registered with :func:`register_architecture`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, TypeVar

from snas_tune.checks import TEXT, check_value, is_instance
from snas_tune.results import Metric
from snas_tune.values import shown

MOST_TEXT = 100_000
"""Most characters of an architecture's JSON. Cells of 64 nodes stay below it."""

MOST_LISTED = 60
"""Most characters of a summary that names each choice; a longer one counts the options."""

BUILT_IN = {"cell": "snas_tune.space.cell.genotype:Genotype"}
"""Where the class of a space is, as ``module:name``; imported when one of its values is read."""

UNNAMED = "cell"
"""The space of a JSON text that names none: snas_tune 0.1 knew no other."""

A = TypeVar("A", bound="Architecture")

_registered: dict[str, type[Architecture] | str] = {}


class Architecture(ABC):
    """An immutable, hashable value: which option each choice of a space got.

    A subclass says :meth:`to_dict`, :meth:`from_dict`, :meth:`summary` and :meth:`parts`. If it has
    a method ``sheet(title, part)`` it is drawn as that says (see
    :class:`snas_tune.pictures.sheets.Drawn`), else as a table of its parts.
    """

    __slots__ = ()

    space: str
    """The name of its space, also in the JSON."""

    FORMAT: ClassVar[int] = 1
    """Version of the JSON form. A reader refuses a newer one."""

    METRICS: ClassVar[tuple[Metric, ...]] = ()
    """Names, units and meanings of :meth:`columns`."""

    @abstractmethod
    def to_dict(self) -> Mapping[str, Any]:
        """The JSON object, without ``space`` and ``format``."""

    @classmethod
    @abstractmethod
    def from_dict(cls: type[A], value: Mapping[str, Any]) -> A:
        """The inverse of :meth:`to_dict`.

        Args:
            value: any JSON object, with its ``format`` and, if it has one, its ``space``.

        Raises:
            KeyError, TypeError, ValueError: the object is no such architecture.
        """

    @abstractmethod
    def summary(self) -> str:
        """It in a few words, for tables and hints."""

    @abstractmethod
    def parts(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """The name and option of each choice, by the part of the network to which it belongs."""

    def columns(self) -> Mapping[str, float]:
        """The numbers of a report that only this space has, by name; see :attr:`METRICS`."""
        return {}

    def to_json(self) -> str:
        """A one-line JSON text, equal for equal architectures."""
        value = {"space": self.space, "format": self.FORMAT, **self.to_dict()}
        return json.dumps(value, separators=(",", ":"))

    @classmethod
    def from_json(cls: type[A], text: str) -> A:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: the text is no architecture of this class, or of a newer format.
        """
        return _decoded(cls, text, _object(text))

    def to_text(self) -> str:
        """The text form in which architectures of this space are published; else the JSON."""
        return self.to_json()

    def words(self, part: str = "") -> str:
        """It in words, for those who cannot see the picture; or one part of it."""
        parts = self.parts()
        if part and part not in parts:
            raise ValueError(f"part must be one of {', '.join(parts)}, got {shown(part)}")
        told = {part: parts[part]} if part else parts
        return " ".join(
            f"{name.capitalize()}: {', '.join(f'{choice} is {option}' for choice, option in rows)}."
            for name, rows in told.items()
        )


@dataclass(frozen=True, slots=True)
class Picks(Architecture):
    """The architecture of a space without a class of its own: the option of each choice."""

    space: str
    picks: tuple[tuple[str, str], ...]
    """Name and option of each choice, in the order of the choices; a mapping is taken, too."""

    def __post_init__(self) -> None:
        pairs = self.picks.items() if isinstance(self.picks, Mapping) else self.picks
        check_value(
            "picks", self.picks, is_instance(Mapping, list, tuple, words="a mapping or pairs")
        )
        try:
            picks = tuple((name, option) for name, option in pairs)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"picks must be pairs of a choice and its option, got {shown(pairs)}"
            ) from error
        for text in (self.space, *(text for pair in picks for text in pair)):
            if not isinstance(text, str):
                raise ValueError(f"space, choices and options must be texts, got {shown(text)}")
        check_value("space", self.space, TEXT)
        twice = [name for name, count in Counter(name for name, _ in picks).items() if count > 1]
        if twice:
            raise ValueError(f"choices must have different names, got {twice[0]!r} twice")
        object.__setattr__(self, "picks", picks)

    def to_dict(self) -> Mapping[str, Any]:
        """The choices and their options under ``picks``."""
        return {"picks": dict(self.picks)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Picks:
        """The inverse of :meth:`to_dict`.

        Raises:
            KeyError, TypeError, ValueError: the object has no ``space`` or no ``picks``.
        """
        check_value("value", value, is_instance(Mapping))
        return cls(value["space"], tuple(value["picks"].items()))

    def summary(self) -> str:
        """``kernel 3, width 16``; of many choices their number and how often each option is."""
        listed = one_line(", ".join(f"{name} {option}" for name, option in self.picks), None)
        if len(listed) <= MOST_LISTED:
            return listed or "no choices"
        counts = Counter(option for _, option in self.picks)
        options = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        words = " ".join(f"{count}x{option}" for option, count in options)
        return one_line(f"{len(self.picks)} choices: {words}", MOST_LISTED)

    def parts(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """All choices as one part."""
        return {"choices": self.picks}


def register_architecture(space: str, home: type[Architecture] | str) -> None:
    """Let architectures of a space be read as a class from outside snas_tune.

    Whatever process reads them registers it, the one that runs TensorBoard included. In others they
    are :class:`Picks`, so a class whose JSON holds ``picks`` is readable everywhere.

    Args:
        space: its name, as in the JSON; none of :data:`BUILT_IN`.
        home: the class, or ``module:name``, imported when the first value is read.

    Raises:
        ValueError: the space is built in, or the home is neither.
    """
    check_value("space", space, TEXT)
    if space in BUILT_IN:
        raise ValueError(f"space must be none of {', '.join(BUILT_IN)}, got {space!r}")
    if isinstance(home, str):
        module, _, name = home.partition(":")
        known = bool(module and name)
    else:
        known = isinstance(home, type) and issubclass(home, Architecture)
    if not known:
        raise ValueError(f"home must be a class of architectures or module:name, got {shown(home)}")
    _registered[space] = home


def read_architecture(text: str) -> Architecture:
    """An architecture of any space from its JSON.

    A text never causes an import other than those of :data:`BUILT_IN` and
    :func:`register_architecture`: a space that is neither is read as :class:`Picks`.

    Raises:
        ValueError: the text is no architecture, or of a newer format.
    """
    value = _object(text)
    return _decoded(_class_of(value.get("space", UNNAMED)), text, value)


def upgraded_json(text: str) -> str:
    """The JSON that this version writes for a text of an older one.

    A text that cannot be read stays as it is: who shows it says so then.
    """
    try:
        return read_architecture(text).to_json()
    except ValueError:
        return text


def one_line(text: str, most: int | None = 60) -> str:
    """A text without line breaks, cut to so many characters."""
    line = " ".join(text.split())
    return line if most is None or len(line) <= most else line[: most - 3] + "..."


def _class_of(space: Any) -> type[Architecture]:
    """The class that reads architectures of a space; of an unknown one :class:`Picks`."""
    homes: Mapping[Any, type[Architecture] | str] = {**_registered, **BUILT_IN}
    home = homes.get(space, Picks) if isinstance(space, str) else Picks
    if isinstance(home, str):
        module, _, name = home.partition(":")
        found: type[Architecture] = getattr(import_module(module), name)
        return found
    return home


def _object(text: str) -> dict[str, Any]:
    """The JSON object of an architecture.

    Raises:
        ValueError: the text is none.
    """
    check_value("text", text, is_instance(str, words="an architecture's JSON"))
    if len(text) > MOST_TEXT:
        raise ValueError(
            f"an architecture's JSON must have at most {MOST_TEXT} characters, got {len(text)}"
        )
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise TypeError(f"it must be an object, got a {type(value).__name__}")
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused(text, error) from error
    return value


def _decoded(kind: type[A], text: str, value: dict[str, Any]) -> A:
    """An object as a value of a class; ``text`` is for messages."""
    try:
        version = value["format"]
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise ValueError(f"its format must be a version, got {version!r}")
        if version <= kind.FORMAT:
            return kind.from_dict(value)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _refused(text, error) from error
    raise ValueError(f"format of the architecture must be {kind.FORMAT}, got {version}")


def _refused(text: str, error: Exception) -> ValueError:
    reason = one_line(str(error), 120)
    return ValueError(
        f"not an architecture in JSON: {one_line(text)} ({type(error).__name__}: {reason})"
    )
