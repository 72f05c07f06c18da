"""The journal of decisions in an experiment's directory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyarrow import fs

from snas_tune.front import FILE_NAME, FrontFile
from snas_tune.front.storage import join
from snas_tune.results import EPOCH
from snas_tune.stopping import Journal
from snas_tune.stopping.journal import EXPERIMENT
from snas_tune.sweep.lines import say

JOURNAL = "scheduler"
"""The name of the journal's directory in that of the experiment."""


def open_journal(
    path: str,
    settings: Mapping[str, Any],
    stamp: str | None = None,
    filesystem: fs.FileSystem | None = None,
) -> Journal:
    """The journal of an experiment, which need not be there. Nothing is written.

    Args:
        path: the experiment's directory.
        settings: by which the scheduler decides.
        stamp: the time stamp that Tune gave the experiment; that of the journal if not given.
        filesystem: as in :func:`snas_tune.front.storage.resolve`.

    Raises:
        ValueError: it cannot be read, or was written under other settings.
    """
    head = settings if stamp is None else {EXPERIMENT: stamp, **settings}
    return Journal(join(path, JOURNAL), head, filesystem)


def check_journal(path: str, settings: Mapping[str, Any], levels: Sequence[float]) -> None:
    """Check, before Tune starts, that a sweep of searches can go on with its decisions.

    Where some of them are missing, a line says how many.

    Args:
        path: the experiment's directory.
        settings: as for :func:`open_journal`.
        levels: the epochs of the rungs, ascending.

    Raises:
        ValueError: as :func:`open_journal`; or children were evaluated from the first rung on, and
            there is no journal.
    """
    journal = open_journal(path, settings)
    if settings["rule"] == "fifo":
        return
    table = FrontFile(join(path, FILE_NAME)).table
    columns = (table[name].to_pylist() for name in ("trial", EPOCH, "child_accuracy"))
    measured = [(trial, epoch) for trial, epoch, value in zip(*columns, strict=True) if value >= 0]
    if journal.lines:
        line = missing_line(levels, journal.lines, measured)
        if line and not journal.follows:
            say(f"journal of {path}: {line}")
    elif not journal.damage and any(epoch >= levels[0] for _, epoch in measured):
        raise ValueError(
            f"journal of {path} must hold the decisions so far, got none: bring {JOURNAL} back, or "
            "start the sweep anew under another name"
        )


def missing_line(
    levels: Sequence[float],
    lines: Iterable[Mapping[str, Any]],
    measured: Iterable[tuple[str, int]],
) -> str:
    """The line that says that a journal ends before the children do; empty if it does not.

    A decision is written before the child's row, so that there are no fewer decisions than rows.

    Args:
        levels: the epochs of the rungs, ascending.
        lines: of the journal.
        measured: the trial and epoch of each child.
    """
    trials = [set[str]() for _ in levels]
    decided = [set[str]() for _ in levels]
    for trial, epoch in measured:
        for level in range(bisect_right(levels, epoch)):
            trials[level].add(trial)
    for line in lines:
        rung = line.get("rung")  # the scheduler refuses a line without one
        for known in decided[: rung + 1 if isinstance(rung, int) else 0]:
            known.add(str(line.get("trial")))
    lacks = [len(there) - len(known) for there, known in zip(trials, decided, strict=True)]
    most = max(lacks)
    if most <= 0:
        return ""
    level = lacks.index(most)
    return (
        f"{most} of the {len(trials[level])} trials with children from epoch {levels[level]:g} on "
        "have no decision there: its end is missing, and the rule goes on without it"
    )
