"""The event files of a running sweep, with pictures of its front that cost a bounded share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pyarrow.fs
from ray.tune.experiment import Trial

from snas_tune.sweep.callbacks.front import FrontUnreadable, SweepFront
from snas_tune.sweep.callbacks.trials import SweepTrial
from snas_tune.sweep.domains import domains_of
from snas_tune.tensorboard_log import SweepLog

DRAWING = 0.02
"""The largest share of the driver's time that goes into pictures of the front while trials run."""


class TensorboardLog:
    """Writes :class:`snas_tune.tensorboard_log.SweepLog` as results come.

    Into the experiment's storage where that is a local path, so that TensorBoard shows the running
    sweep; otherwise into the driver's staging directory, which Tune uploads.

    Args:
        space: the search space, for HParams.
    """

    def __init__(self, space: Mapping[str, Any]) -> None:
        self._varied = {name: _values(domain) for name, domain in domains_of(space).items()}
        self._log: SweepLog | None = None
        self._next_drawing = 0.0
        self._drawn = (0, 0)
        """The changes of the front and the ended trials that the last pictures show."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_log": None}

    def of(self, trial: Trial) -> SweepLog:
        """The log, in the directory of a trial's experiment."""
        if self._log is None:
            storage = trial.storage
            local = isinstance(storage.storage_filesystem, pyarrow.fs.LocalFileSystem)
            root = storage.experiment_fs_path if local else trial.local_experiment_path
            self._log = SweepLog(
                f"{root}/tensorboard", self._varied, str(storage.experiment_fs_path)
            )
        return self._log

    def start(self, trial: Trial, known: SweepTrial) -> None:
        """Open a trial's run."""
        self.of(trial).start_trial(known.name, known.search)

    def front(self, trial: Trial, front: SweepFront, ended: int) -> None:
        """Write the front's size after a trial; and draw the front, if it changed and it is time.

        What a picture costs does not depend on how long an epoch is, so that a sweep of short ones
        would spend most of its driver's time on them.
        """
        self.of(trial).add_front_size(front.size, ended)
        if front.changes != self._drawn[0] and time.monotonic() >= self._next_drawing:
            self._draw(trial, front, ended)

    def _draw(self, trial: Trial, front: SweepFront, ended: int) -> None:
        start = time.monotonic()
        try:
            self.of(trial).draw_front(front.read(trial), ended)
        except FrontUnreadable:
            return  # its storage is away; the front says so
        end = time.monotonic()
        self._next_drawing = end + (end - start) / DRAWING
        self._drawn = front.changes, ended

    def close(self, trials: list[Trial], front: SweepFront, ended: int) -> None:
        """Draw the last front, unless that is done, and close everything."""
        if trials and ended and (front.changes, ended) != self._drawn:
            self._draw(trials[0], front, ended)
        if self._log is not None:
            self._log.close()


def _values(domain: Any) -> tuple[float, float] | list[Any]:
    """The ends of a range, or the list of choices."""
    if hasattr(domain, "categories"):
        return list(domain.categories)
    return domain.lower, domain.upper
