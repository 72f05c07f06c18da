"""The entry point of ``snas-tune``: finds the command, runs it, and turns errors into one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Union

from tyro.conf import subcommand

from snas_tune.cli.exits import INTERRUPTED, closed, end
from snas_tune.cli.latency import latency_command
from snas_tune.cli.log import Log
from snas_tune.cli.recipe import check_names
from snas_tune.cli.settings import Settings
from snas_tune.cli.sweep import sweep_command
from snas_tune.cli.take import Take
from snas_tune.cli.usage import parse
from snas_tune.sweep.watch import SweepLost
from snas_tune.training.diverged import Diverged

PROGRAM = "snas-tune"

DESCRIPTION = """\
Pareto fronts of small, accurate networks for your own images.

The flags of a command: `snas-tune COMMAND --help`. The version: `snas-tune --version`."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words ask for; the command line's if not given.

    Returns:
        The exit status: 0; 1 if a trial failed or a training diverged; 2 if an input is wrong; 130
        if it was interrupted; 141 if nobody reads what it prints.
    """
    try:
        try:
            return _run(words)
        finally:
            if sys.stdout is not None:  # a program without one may call this
                sys.stdout.flush()
    except BrokenPipeError:
        return closed()


def _run(words: Sequence[str] | None) -> int:
    words = sys.argv[1:] if words is None else list(words)
    if words == ["--version"]:
        print(f"{PROGRAM} {version('snas_tune')}")
        return 0
    here = str(Path.cwd())
    if here not in sys.path:  # `module:function` and `ops_module` may lie here, as for `python -m`
        sys.path.append(here)
    try:
        return int(command_of(words).run())
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Diverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except SweepLost as error:
        end(1, str(error))  # Ray's own work at exit would wait for what is gone
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def command_of(words: Sequence[str]) -> Any:
    """The command of a line of words, with its flags.

    Raises:
        ValueError: there is no such command or flag, or a value is wrong.
        SystemExit: help or a completion script was asked for and is printed.
    """
    asked = words[1:] if words[:1] == ["sweep"] else ()
    sweep, defaults = sweep_command(asked)
    commands = {
        "sweep": Annotated[sweep, subcommand("sweep", default=defaults)],
        "take": Annotated[Take, subcommand("take")],
        "latency": Annotated[latency_command(), subcommand("latency")],
        "log": Annotated[Log, subcommand("log")],
        "settings": Annotated[Settings, subcommand("settings")],
    }
    if words and not words[0].startswith("-"):
        check_names(words[:1], commands, "command")
    kind: Any = Union[tuple(commands.values())]  # noqa: UP007  # as many as there are
    return parse(kind, words, program=PROGRAM, description=DESCRIPTION)
