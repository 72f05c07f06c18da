"""The event files of a running sweep, with pictures of its front that cost a bounded share."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.fs
from ray.tune.experiment import Trial

from snas_tune.front import ParetoFront
from snas_tune.sweep.callbacks.front import SweepFront
from snas_tune.sweep.callbacks.trials import SweepTrial
from snas_tune.sweep.callbacks.view import Piece, View
from snas_tune.sweep.domains import domains_of
from snas_tune.sweep.lines import say
from snas_tune.tensorboard_log import SweepLog
from snas_tune.tensorboard_log.from_front import write_trials

DRAWING = 0.02
"""The largest share of the time that goes into pictures of the front while trials run."""

LAST = 60.0
"""Most seconds that the end of a sweep waits for its event files."""


class TensorboardLog:
    """Writes :class:`snas_tune.tensorboard_log.SweepLog` as results come, as a :class:`View` does.

    Into the experiment's storage where that is a local path, so that TensorBoard shows the running
    sweep; otherwise into the driver's staging directory, which Tune uploads.

    Args:
        space: the search space, for HParams.
    """

    def __init__(self, space: Mapping[str, Any]) -> None:
        self._space = dict(space)
        self._view = View("TensorBoard's event files")
        self._log: SweepLog | None = None
        self._next_drawing = 0.0
        self._drawn = (0, 0)
        """The changes of the front and the ended trials that the last pictures show."""
        self._asked = 0
        """The changes of the front that the last pictures will show."""

    def __getstate__(self) -> dict[str, Any]:
        return {"space": self._space}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["space"])  # type: ignore[misc]  # its thread and files are new ones

    def _do(self, trial: Trial, run: str, work: Callable[[SweepLog], None]) -> None:
        """Have a run written to, in the directory of a trial's experiment."""
        self._view.do(Piece(lambda: work(self._opened(trial)), run))

    def _opened(self, trial: Trial) -> SweepLog:
        if self._log is None:
            storage = trial.storage
            local = isinstance(storage.storage_filesystem, pyarrow.fs.LocalFileSystem)
            root = storage.experiment_fs_path if local else trial.local_experiment_path
            varied = {name: _values(domain) for name, domain in domains_of(self._space).items()}
            self._log = SweepLog(f"{root}/tensorboard", varied, str(storage.experiment_fs_path))
        return self._log

    def start(self, trial: Trial, known: SweepTrial) -> None:
        """Open a trial's run."""
        self._do(trial, known.name, lambda log: log.start_trial(known.name, known.search))

    def result(self, trial: Trial, name: str, report: Mapping[str, Any]) -> None:
        """Write a trial's report."""
        copied = dict(report)  # Tune adds to it
        self._do(trial, name, lambda log: log.add_result(name, copied))

    def checkpoints(self, trial: Trial, name: str, kept: Mapping[int, str]) -> None:
        """Write which checkpoints of a trial are kept."""
        self._do(trial, name, lambda log: log.add_checkpoints(name, kept))

    def end(self, trial: Trial, name: str) -> None:
        """Close a trial's run."""
        self._do(trial, name, lambda log: log.end_trial(name))

    def front(self, trial: Trial, front: SweepFront, ended: int) -> None:
        """Write the front's size after a trial; and draw the front, if it changed and it is time.

        What a picture costs does not depend on how long an epoch is, so that a sweep of short ones
        would spend most of its driver's time on them.
        """
        size = front.size
        self._view.do(Piece(lambda: self._opened(trial).add_front_size(size, ended)))
        if front.changes != self._asked and time.monotonic() >= self._next_drawing:
            self._asked, self._next_drawing = front.changes, math.inf  # until it is done
            self._view.do(self._drawing(trial, front, ended))

    def _drawing(self, trial: Trial, front: SweepFront, ended: int) -> Piece:
        shown = (front.changes, ended)
        return Piece(partial(self._draw, trial, front.table, shown), again=False)

    def _draw(self, trial: Trial, table: pa.Table, shown: tuple[int, int]) -> None:
        """Draw a front, unless the last pictures show it."""
        if shown == self._drawn:
            return
        start = time.monotonic()
        try:
            self._opened(trial).draw_front(ParetoFront(table), shown[1])
            self._drawn = shown
        finally:
            end = time.monotonic()
            self._next_drawing = end + (end - start) / DRAWING

    def close(self, trials: list[Trial], front: SweepFront, ended: int) -> None:
        """Draw the last front, make runs anew that lack something, and close everything."""
        if not trials:
            return
        if ended:
            self._view.do(self._drawing(trials[0], front, ended), always=True)
        for work in (partial(self._catch_up, trials[0], front.table), self._close_files):
            self._view.do(Piece(work, again=False), always=True)
        if not self._view.finish(LAST) or self._view.lost:
            path = str(trials[0].storage.experiment_fs_path)
            command = shlex.join(["snas-tune", "log", path, "--logdir", "log"])
            say(f"{self._view.name} are not whole; made anew from the front file by: {command}")

    def _catch_up(self, trial: Trial, table: pa.Table) -> None:
        if self._view.lost:
            write_trials(self._opened(trial), ParetoFront(table), self._view.lost)
            self._view.lost.clear()

    def _close_files(self) -> None:
        if self._log is not None:
            self._log.close()


def _values(domain: Any) -> tuple[float, float] | list[Any]:
    """The ends of a range, or the list of choices."""
    if hasattr(domain, "categories"):
        return list(domain.categories)
    return domain.lower, domain.upper
