"""The journal of decisions in an experiment's directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyarrow import fs

from snas_tune.front import FILE_NAME, FrontFile
from snas_tune.front.storage import join
from snas_tune.results import EPOCH
from snas_tune.stopping import Journal
from snas_tune.stopping.journal import EXPERIMENT

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


def check_journal(path: str, settings: Mapping[str, Any], first_rung: float) -> None:
    """Check, before Tune starts, that a sweep of searches can go on with its decisions.

    Args:
        path: the experiment's directory.
        settings: as for :func:`open_journal`.
        first_rung: the epoch from which on there are decisions.

    Raises:
        ValueError: as :func:`open_journal`; or children were evaluated from that epoch on, and
            there is no journal.
    """
    journal = open_journal(path, settings)
    if journal.lines or journal.damage or settings["rule"] == "fifo":
        return
    epochs = FrontFile(join(path, FILE_NAME)).table[EPOCH].to_pylist()
    if any(epoch >= first_rung for epoch in epochs):
        raise ValueError(
            f"journal of {path} must hold the decisions so far, got none: bring {JOURNAL} back, or "
            "start the sweep anew under another name"
        )
