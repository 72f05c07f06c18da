"""Tune's own files of a trial's results, result.json and progress.csv: they are views, too."""

from __future__ import annotations

from functools import partial
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, LoggerCallback

from snas_tune.sweep.callbacks.view import Guard


class _Guarded(LoggerCallback):  # type: ignore[misc]  # Ray's classes are untyped here
    """Before one of Tune's loggers in the order of classes: what fails there is left out."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = Guard("Tune's files of results")

    def log_trial_start(self, trial: Trial) -> None:
        self._guard.do(partial(super().log_trial_start, trial))

    def log_trial_restore(self, trial: Trial) -> None:
        self._guard.do(partial(super().log_trial_restore, trial))

    def log_trial_save(self, trial: Trial) -> None:
        self._guard.do(partial(super().log_trial_save, trial))

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        self._guard.do(partial(super().log_trial_result, iteration, trial, result))

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        self._guard.do(partial(super().log_trial_end, trial, failed))


class TuneCsv(_Guarded, CSVLoggerCallback):  # type: ignore[misc]  # likewise
    """progress.csv."""


class TuneJson(_Guarded, JsonLoggerCallback):  # type: ignore[misc]  # likewise
    """result.json."""


def tune_files() -> list[Callback]:
    """The two loggers that Tune would add by itself, of which neither ends a sweep."""
    return [TuneCsv(), TuneJson()]
