"""What happens on the driver while a sweep runs: the front file, TensorBoard, and progress.

The front file is written as soon as a result arrives, into the experiment's storage, so that a
finished child survives the death of any process.
"""

from __future__ import annotations

import logging
import math
import sys
import time
from typing import Any

import pyarrow.fs
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback

from snas_tune.config import SearchConfig
from snas_tune.front import FILE_NAME, SCHEMA, FrontFile, ParetoFront
from snas_tune.report import SweepLog
from snas_tune.sweep.space import trial_name

log = logging.getLogger(__name__)


def front_row(config: SearchConfig, trial: str, report: dict[str, Any]) -> dict[str, Any]:
    """The row of the front file for one report; its checkpoint is not known yet."""
    known = {**config.to_dict(), **report, "trial": trial}
    known |= {"config": config.to_json(), "checkpoint": None}
    return {name: known[name] for name in SCHEMA.names}


class FrontCallback(Callback):  # type: ignore[misc]  # Ray's classes are untyped here
    """Keeps the front file in the experiment's directory."""

    def __init__(self) -> None:
        self._file: FrontFile | None = None
        self._rows: dict[str, dict[int, dict[str, Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_file": None, "_rows": {}}  # both come back from the file

    def _front_file(self, trial: Trial) -> FrontFile:
        if self._file is None:
            storage = trial.storage
            path = f"{storage.experiment_fs_path}/{FILE_NAME}"
            self._file = FrontFile(path, storage.storage_filesystem)
            for row in self._file.read().to_pylist():
                self._rows.setdefault(row["trial"], {})[row["epoch"]] = row
        return self._file

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Add the child of this epoch, if it was evaluated."""
        if math.isnan(result.get("child_accuracy", math.nan)):
            return
        config = SearchConfig.from_dict(trial.config)
        front = self._front_file(trial)
        row = front_row(config, trial_name(trial.config), result)
        rows = self._rows.setdefault(row["trial"], {})
        rows[row["epoch"]] = row
        front.add([row])

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Name each child's checkpoint, as far as it is still kept."""
        front = self._front_file(trial)
        root = f"{trial.storage.experiment_fs_path}/"
        kept = {
            int(saved.metrics["epoch"]): saved.checkpoint.path.removeprefix(root)
            for saved in trial.run_metadata.checkpoint_manager.best_checkpoint_results
            if "epoch" in saved.metrics
        }
        changed = []
        for epoch, row in self._rows.get(trial_name(trial.config), {}).items():
            if row["checkpoint"] != kept.get(epoch):
                row["checkpoint"] = kept.get(epoch)
                changed.append(row)
        if changed:
            front.add(changed)


class TensorboardCallback(TBXLoggerCallback):  # type: ignore[misc]
    """Writes :class:`snas_tune.report.SweepLog` in place of Tune's own TensorBoard logger.

    Into the experiment's storage where that is a local path, so that TensorBoard shows the running
    sweep; otherwise into the driver's staging directory, which Tune uploads.
    """

    def __init__(self) -> None:
        super().__init__()
        self._log: SweepLog | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_log": None}

    def _sweep_log(self, trial: Trial) -> SweepLog:
        if self._log is None:
            self._log = SweepLog(f"{_local_directory(trial)}/tensorboard")
        return self._log

    def log_trial_start(self, trial: Trial) -> None:
        """Open the trial's run."""
        config = SearchConfig.from_dict(trial.config).to_dict()
        self._sweep_log(trial).start_trial(trial_name(trial.config), config)

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        """Write the scalars."""
        self._sweep_log(trial).add_result(trial_name(trial.config), result)

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        """Close the trial's run; the front is written by the callback that follows."""
        self._sweep_log(trial).end_trial(trial_name(trial.config))

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the trial's run and write the front as it now is."""
        super().on_trial_complete(iteration, trials, trial, **info)
        ended = sum(t.is_finished() for t in trials)
        storage = trial.storage
        front = ParetoFront.read(
            f"{storage.experiment_fs_path}/{FILE_NAME}", filesystem=storage.storage_filesystem
        )
        self._sweep_log(trial).add_front(front, max(1, ended))

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Close everything."""
        if self._log is not None:
            self._log.close()


def _local_directory(trial: Trial) -> str:
    storage = trial.storage
    local = isinstance(storage.storage_filesystem, pyarrow.fs.LocalFileSystem)
    return str(storage.experiment_fs_path if local else trial.local_experiment_path)


class ProgressCallback(Callback):  # type: ignore[misc]
    """One line for a finished trial, and one every few seconds while trials run.

    Args:
        trials: how many the sweep will run.
        every: seconds between lines about running trials.
    """

    def __init__(self, trials: int, every: float = 10.0) -> None:
        self._total = trials
        self._every = every
        self._start: float | None = None
        self._last = 0.0
        self._epochs = 0

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Say how far the sweep is."""
        now = time.monotonic()
        self._start = self._start if self._start is not None else now - result["seconds"]
        self._epochs += 1
        if not result.get("done") and now - self._last < self._every:
            return
        self._last = now
        horizon = SearchConfig.from_dict(trial.config).epochs
        ended = sum(t.is_finished() for t in trials if t is not trial) + bool(result.get("done"))
        done = sum(min(horizon, (t.last_result or {}).get("epoch", 0)) for t in trials) / (
            horizon * self._total
        )
        elapsed = now - self._start
        left = f", about {_clock(elapsed / done - elapsed)} left" if 0 < done < 1 else ""
        sys.stderr.write(
            f"[{ended}/{self._total} trials, {_clock(elapsed)}{left}] {trial_name(trial.config)} "
            f"epoch {result['epoch']}/{horizon}: child {100 * result['child_accuracy']:.1f} %, "
            f"{result['flops'] / 1e6:.3f} MFLOPs, supernet {100 * result['accuracy']:.1f} %\n"
        )
        sys.stderr.flush()

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Say that a trial failed, and why."""
        sys.stderr.write(f"trial {trial_name(trial.config)} failed: {failure_of(trial)}\n")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def failure_of(trial: Trial) -> str:
    """The one line that says why a trial failed."""
    lines = [line.strip() for line in str(trial.get_error() or "").splitlines() if line.strip()]
    return lines[-1] if lines else "its process died"


def sweep_callbacks(trials: int, *, progress: bool = True) -> list[Callback]:
    """The callbacks of a sweep of ``trials`` trials, for ``tune.run`` or a ``RunConfig``."""
    callbacks = [FrontCallback(), TensorboardCallback()]
    if progress:
        callbacks.append(ProgressCallback(trials))
    return callbacks
