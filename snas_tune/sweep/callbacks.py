"""What happens on the driver while a sweep runs: the front file, TensorBoard, and progress.

The front file is written as soon as a result arrives, into the experiment's storage, so that a
finished child survives the death of any process.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.fs
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback

from snas_tune.config import SearchConfig
from snas_tune.files import first_line
from snas_tune.front import FILE_NAME, SCHEMA, FrontFile, ParetoFront, RunningFront
from snas_tune.front.storage import STORAGE_ERRORS
from snas_tune.results import CHILDREN, HYPERVOLUME, OBJECTIVES
from snas_tune.sweep.domains import domains_of, trial_name
from snas_tune.sweep.trainable import FAILURE
from snas_tune.tensorboard_log import SweepLog


def front_row(config: SearchConfig, trial: str, report: dict[str, Any]) -> dict[str, Any]:
    """The row of the front file for one report; its checkpoint is not known yet."""
    known = {**config.to_dict(), **report, "trial": trial}
    known |= {"config": config.to_json(), "checkpoint": None}
    return {name: known[name] for name in SCHEMA.names}


def _front_file(trial: Trial) -> FrontFile:
    storage = trial.storage
    path = f"{storage.experiment_fs_path}/{FILE_NAME}"
    try:
        return FrontFile(path, storage.storage_filesystem)
    except ValueError as error:
        raise FrontUnreadable(first_line(error)) from error


def _kept_checkpoints(trial: Trial) -> dict[int, str]:
    """The checkpoints of a trial that are still kept: paths in the experiment, by epoch."""
    root = f"{trial.storage.experiment_fs_path}/"
    return {
        int(saved.metrics["epoch"]): saved.checkpoint.path.removeprefix(root)
        for saved in trial.run_metadata.checkpoint_manager.best_checkpoint_results
        if "epoch" in saved.metrics
    }


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class FrontUnreadable(Exception):  # noqa: N818 - a state that passes
    """The front file cannot be read now."""


class FailureCallback(Callback):  # type: ignore[misc]  # Ray's classes are untyped here
    """Takes further attempts away from a trial that reports that they would fail as well."""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Look for the report of a failure."""
        if FAILURE in result:
            trial.max_failures = 0


class FrontCallback(Callback):  # type: ignore[misc]
    """Keeps the front file in the experiment's directory.

    Rows that the storage does not take now are kept, and written with the next ones. Each result
    is told the hypervolume of all children so far, for the callbacks that follow.
    """

    def __init__(self) -> None:
        self._file: FrontFile | None = None
        self._rows: dict[str, dict[int, dict[str, Any]]] = {}
        self._waiting: list[dict[str, Any]] = []
        self._front: RunningFront | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The file has the others.
        return {"_file": None, "_rows": {}, "_waiting": self._waiting, "_front": None}

    def _add(self, trial: Trial, rows: list[dict[str, Any]]) -> None:
        """Write rows, and those that wait."""
        said, self._waiting = bool(self._waiting), [*self._waiting, *rows]
        try:
            file = self._open(trial)
            if self._waiting:
                file.add(self._waiting)
                self._waiting = []
        except (FrontUnreadable, *STORAGE_ERRORS) as error:
            if not said:
                _say(f"the front file waits for its storage: {first_line(error)}")

    def _open(self, trial: Trial) -> FrontFile:
        if self._file is None:
            self._file = _front_file(trial)
            for row in self._file.table.to_pylist():
                self._rows.setdefault(row["trial"], {}).setdefault(row["epoch"], row)
        return self._file

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Add the child of this epoch, if it was evaluated."""
        if math.isnan(result.get("child_accuracy", math.nan)):
            return
        config = SearchConfig.from_dict(trial.config)
        row = front_row(config, trial_name(trial.config), result)
        self._rows.setdefault(row["trial"], {})[row["epoch"]] = row
        self._add(trial, [row])
        result[HYPERVOLUME] = self._hypervolume(row, result["largest_flops"])
        result[CHILDREN] = sum(map(len, self._rows.values()))

    def _hypervolume(self, row: Mapping[str, Any], largest: float) -> float:
        """See :data:`snas_tune.results.HYPERVOLUME`; all known rows at the first call."""
        rows = [row]
        if self._front is None:
            self._front = RunningFront([mode for _, mode in OBJECTIVES], (0.0, largest))
            rows = [known for epochs in self._rows.values() for known in epochs.values()]
        for each in rows:
            self._front.add([each[name] for name, _ in OBJECTIVES])
        return self._front.hypervolume / self._front.reference[-1]

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Name each child's checkpoint, as far as it is still kept."""
        self._add(trial, [])  # knows the rows of the file, then
        kept = _kept_checkpoints(trial)
        changed = []
        for epoch, row in self._rows.get(trial_name(trial.config), {}).items():
            if row["checkpoint"] != kept.get(epoch):
                row["checkpoint"] = kept.get(epoch)
                changed.append(row)
        if changed:
            self._add(trial, changed)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Write what still waits."""
        if self._waiting and trials:
            self._add(trials[0], [])
        if self._waiting:
            _say(f"{len(self._waiting)} rows of the front file could not be written")


class TensorboardCallback(TBXLoggerCallback):  # type: ignore[misc]
    """Writes :class:`snas_tune.tensorboard_log.SweepLog` in place of Tune's own TensorBoard logger.

    Into the experiment's storage where that is a local path, so that TensorBoard shows the running
    sweep; otherwise into the driver's staging directory, which Tune uploads.

    Args:
        space: what the sweep varies, for HParams.
    """

    def __init__(self, space: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._varied = {name: _values(domain) for name, domain in domains_of(space or {}).items()}
        self._log: SweepLog | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_log": None}

    def _sweep_log(self, trial: Trial) -> SweepLog:
        if self._log is None:
            self._log = SweepLog(
                f"{_local_directory(trial)}/tensorboard",
                self._varied,
                str(trial.storage.experiment_fs_path),
            )
        return self._log

    def log_trial_start(self, trial: Trial) -> None:
        """Open the trial's run."""
        config = SearchConfig.from_dict(trial.config).to_dict()
        self._sweep_log(trial).start_trial(trial_name(trial.config), config)

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        """Write the scalars."""
        if FAILURE not in result:
            self._sweep_log(trial).add_result(trial_name(trial.config), result)

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Write where each child's checkpoint lies, as far as it is still kept."""
        self._sweep_log(trial).add_checkpoints(trial_name(trial.config), _kept_checkpoints(trial))

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        """Close the trial's run; the front is written by the callback that follows."""
        self._sweep_log(trial).end_trial(trial_name(trial.config))

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Close the trial's run and write the front as it now is."""
        super().on_trial_complete(iteration, trials, trial, **info)
        ended = sum(t is trial or t.is_finished() for t in trials)
        try:
            front = ParetoFront(_front_file(trial).table)
        except FrontUnreadable:
            return  # its storage is away; the front file's callback says so
        self._sweep_log(trial).add_front(front, ended)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Close everything."""
        if self._log is not None:
            self._log.close()


def _values(domain: Any) -> tuple[float, float] | list[Any]:
    """The ends of a range, or the list of choices."""
    if hasattr(domain, "categories"):
        return list(domain.categories)
    return domain.lower, domain.upper


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
        self._done_before = 0.0
        self._last = 0.0

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Say how far the sweep is."""
        if FAILURE in result:
            return
        now = time.monotonic()
        if self._start is None:  # a resumed sweep has a part behind it
            self._start = now - result["seconds"]
            self._done_before = self._share_done(trials, trial, result["epoch"] - 1)
        if not result.get("done") and now - self._last < self._every:
            return
        self._last = now
        horizon = SearchConfig.from_dict(trial.config).epochs
        ended = sum(t.is_finished() for t in trials if t is not trial) + bool(result.get("done"))
        elapsed = now - self._start
        done = self._share_done(trials, trial, result["epoch"])
        left = ""
        if self._done_before < done < 1:
            rest = elapsed * (1 - done) / (done - self._done_before)
            left = f", about {_clock(rest)} left"
        volume = f", hypervolume {result[HYPERVOLUME]:.4f}" if HYPERVOLUME in result else ""
        stopped = ", stopped" if result.get("done") and result["epoch"] < horizon else ""
        _say(
            f"[{ended}/{self._total} trials, {_clock(elapsed)}{left}] {trial_name(trial.config)} "
            f"epoch {result['epoch']}/{horizon}: child {100 * result['child_accuracy']:.1f} %, "
            f"{result['flops'] / 1e6:.3f} MFLOPs, supernet {100 * result['accuracy']:.1f} %"
            f"{volume}{stopped}"
        )

    def _share_done(self, trials: list[Trial], trial: Trial, epoch: int) -> float:
        """The share of all epochs, ``epoch`` of them of the trial whose result is only arriving."""
        done = 0.0
        for each in trials:
            horizon = SearchConfig.from_dict(each.config).epochs
            reached = epoch if each is trial else (each.last_result or {}).get("epoch", 0)
            # A trial that failed or was stopped leaves nothing to wait for.
            done += 1.0 if each is not trial and each.is_finished() else min(1, reached / horizon)
        return done / self._total

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Say that a trial failed, and why."""
        _say(f"trial {trial_name(trial.config)} failed: {failure_of(trial)}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def failure_of(trial: Trial) -> str:
    """The one line that says why a trial failed."""
    try:  # the file here: what the storage has of it may be older
        text = Path(trial.error_file).read_text() if trial.error_file else ""
    except OSError:
        text = str(trial.get_error() or "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if not last or "worker process has died" in last:  # Ray goes on about all possible causes
        detail = re.search(r"Worker exit detail: ([^.]*\.)", last)
        return f"its process died{f' ({detail[1]})' if detail else ''}"
    return last


def sweep_callbacks(
    trials: int, *, progress: bool = True, space: Mapping[str, Any] | None = None
) -> list[Callback]:
    """The callbacks of a sweep, for ``tune.run`` or a ``RunConfig``.

    Args:
        trials: searches in all.
        progress: write lines to standard error.
        space: the search space, so that HParams knows what varies.
    """
    callbacks = [FailureCallback(), FrontCallback(), TensorboardCallback(space)]
    if progress:
        callbacks.append(ProgressCallback(trials))
    return callbacks
