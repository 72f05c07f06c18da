"""The trials of a sweep as its driver knows them: each one's config is parsed once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from ray.tune.experiment import Trial

from snas_tune.config import SearchConfig
from snas_tune.front import SCHEMA
from snas_tune.results import CREDIT, MEAN_CREDIT
from snas_tune.sweep.domains import search_name


@dataclass(frozen=True, slots=True)
class SweepTrial:
    """One trial: what follows from its config."""

    name: str
    """Of its directory, its rows and its run in TensorBoard."""

    search: SearchConfig

    constants: Mapping[str, Any]
    """The columns that all its rows of the front file share."""

    @staticmethod
    def of(config: Mapping[str, Any]) -> SweepTrial:
        """The trial of a config.

        Raises:
            ValueError: a setting is wrong.
        """
        search = SearchConfig.from_dict(config)
        name = search_name(search)
        constants = {key: value for key, value in search.to_dict().items() if key in SCHEMA.names}
        constants |= {"trial": name, "config": search.to_json(), "checkpoint": None}
        return SweepTrial(name, search, constants)

    def row(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """The row of the front file for a report; its checkpoint is not known yet."""
        return {
            column: self.constants[column] if column in self.constants else report[column]
            for column in SCHEMA.names
        }


_known: WeakKeyDictionary[Trial, tuple[Mapping[str, Any], SweepTrial]] = WeakKeyDictionary()


def sweep_trial(trial: Trial) -> SweepTrial:
    """What is known of a trial of Tune's; its config is parsed at the first call.

    Raises:
        ValueError: a setting is wrong.
    """
    config, known = _known.get(trial, (None, None))
    if known is None or config is not trial.config:
        known = SweepTrial.of(trial.config)
        _known[trial] = trial.config, known
    return known


def slim(trial: Trial) -> None:
    """Drop what Tune keeps of a trial that has ended, beside its results.

    That is what it would need to average further results, the averages of credits, the whole report
    with each checkpoint, and copies of the trial's config. It is more than half of a trial in the
    state that Tune saves, which holds all trials and is written again and again, and most of it in
    memory.
    """
    _known.pop(trial, None)
    with suppress(AttributeError):  # of another version of Tune
        known = trial.run_metadata
        known.metric_n_steps = {}
        known.metric_analysis = _without_credits(known.metric_analysis)
        for saved in known.checkpoint_manager.best_checkpoint_results:
            saved.metrics = {
                name: value
                for name, value in _without_credits(saved.metrics).items()
                if not isinstance(value, dict)
            }
        if (trial.last_result or {}).get("config") == trial.config:
            trial.last_result["config"] = trial.config
        if trial._Trial__unresolved_config == trial.config:
            trial._Trial__unresolved_config = trial.config


def _without_credits(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in values.items() if not name.startswith((CREDIT, MEAN_CREDIT))
    }
