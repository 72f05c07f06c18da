"""From the words of a command line to a command: tyro, with its errors as one line."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import tyro

from snas_tune.config import SearchConfig

SETTINGS = {each.name for each in fields(SearchConfig)} - {"seed"}
"""What ``--set`` of a sweep takes."""

MOST_TOLD = 400
"""Most characters of a message: words of the command line may be of any length."""

NUMBERS = (
    (r"invalid literal for int\(\) with base 10: (.*)", r"must be a whole number, got \1"),
    (r"could not convert string to float: (.*)", r"must be a number, got \1"),
    (r"no type matching \S+ could be instantiated from \[(.*?)\].*", r"must be a number, got \1"),
    (r"Could not parse arguments \[(.*?)\] into .*", r"must be numbers, got \1"),
)
"""What Python says of a text that is no number, and our words for it."""


def parse(kind: Any, words: Sequence[str], *, program: str, description: str | None = None) -> Any:
    """The command that the words ask for.

    Args:
        kind: a dataclass, or a union of several.
        words: of the command line, without the program.
        program: its name, for the help.
        description: for the help; the dataclass' own if not given.

    Raises:
        ValueError: the words are not understood; one line.
        SystemExit: help or a completion script was asked for and is printed.
    """
    try:
        return _quietly(
            lambda: tyro.cli(
                kind,
                prog=program,
                description=description,
                args=words,
                config=(tyro.conf.DisallowNone,),
            )
        )
    except ValueError as error:
        line = str(error)
        raise ValueError(with_set_hint(line) if words[:1] == ["sweep"] else line) from None


def parse_known(kind: Any, words: Sequence[str]) -> Any:
    """The flags of a dataclass that are among the words; all other words are left alone.

    Raises:
        ValueError: a value is wrong.
    """
    found, _ = _quietly(
        lambda: tyro.cli(
            kind,
            args=words,
            add_help=False,
            return_unknown_args=True,
            config=(tyro.conf.DisallowNone,),
        )
    )
    return found


def _quietly(call: Callable[[], Any]) -> Any:
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of defaults from a sweep file, which are checked later
            return call()
    except SystemExit as ended:
        if ended.code:
            raise ValueError(one_line(complaint.getvalue())) from None
        raise


def with_set_hint(line: str) -> str:
    """A line about flags of a sweep; it says how a setting is given that has no flag of its own."""
    found = re.match(r"unrecognized options: --([\w-]+)", line)
    name = found[1].replace("-", "_") if found else ""
    if name not in SETTINGS:
        return line
    return f"{re.sub(r' [(]perhaps .*[)]$', '', line)} (perhaps --set {name}=...)"


def one_line(box: str) -> str:
    """The gist of an error that tyro has drawn as a box: its first section, and a suggestion."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    top = 1 if plain.startswith("╭") else 2  # without box characters, a rule is below the title
    lines = [line.strip(" │") for line in plain.splitlines()[top:-1]]
    rules = [place for place, line in enumerate(lines) if re.fullmatch(r"[─-]+", line)]
    sections = [
        lines[start:end]
        for start, end in zip([0, *(rule + 1 for rule in rules)], [*rules, len(lines)], strict=True)
    ]
    text = " ".join(" ".join(sections[0]).replace("•", "").split()).removesuffix(".")
    text = re.sub(r"^Error parsing (?:--)?(\S+):", r"\1", text)
    for pattern, ours in NUMBERS:
        text = re.sub(pattern, ours, text)
    if len(sections) > 1 and sections[1][:1] == ["Perhaps you meant:"]:
        text += f" (perhaps {sections[1][1].split()[0]})"
    text = text[:1].lower() + text[1:]
    return text if len(text) <= MOST_TOLD else f"{text[: MOST_TOLD - 3]}..."
