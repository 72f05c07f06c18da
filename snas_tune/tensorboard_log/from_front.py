"""The log of a sweep of which only the front file is left."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from snas_tune.checks import check_value
from snas_tune.config import VARIED, SearchConfig
from snas_tune.front import ParetoFront, row_settings
from snas_tune.tensorboard_log.sweep_log import SweepLog
from snas_tune.text_checks import DIRECTORY


def write_front(front: ParetoFront, directory: str | Path, experiment: str = "") -> None:
    """Write a front file's children as TensorBoard logs, as if their sweep ran now.

    Args:
        front: its rows.
        directory: a local folder; pass it to ``tensorboard --logdir``.
        experiment: the path of the sweep's directory, for the command that takes a child from it.

    Raises:
        ValueError: a trial's name is that of no folder, or a row has no settings of a search.
    """
    configs = _configs(front)
    log = SweepLog(directory, _varied(configs), experiment)
    trials = set(configs)
    write_trials(log, front, trials)
    log.add_front_size(len(front.front), len(trials))
    log.draw_front(front, len(trials))
    log.close()


def write_trials(log: SweepLog, front: ParetoFront, trials: Collection[str]) -> None:
    """Write the runs of some of a front's trials anew, in the place of what there is of them.

    Args:
        log: of their sweep.
        front: its rows.
        trials: names; those without rows are left as they are.

    Raises:
        OSError: a run cannot be written; it is as it was.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in front.rows:
        if row["trial"] in trials:
            rows.setdefault(row["trial"], []).append(row)
    for trial, found in rows.items():
        with log.anew(trial):
            log.start_trial(trial, SearchConfig.from_dict(row_settings(found[0])))
            for row in found:
                log.add_result(trial, row)
            kept = {row["epoch"]: row["checkpoint"] for row in found if row["checkpoint"]}
            log.add_checkpoints(trial, kept)


def _configs(front: ParetoFront) -> dict[str, dict[str, Any]]:
    """The settings of each trial, whose log is a folder of its name."""
    first = {row["trial"]: row for row in reversed(front.rows)}
    for trial in first:
        check_value("trial of the front file", trial, DIRECTORY)
    return {trial: row_settings(row) for trial, row in first.items()}


def _varied(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that differ, as :class:`SweepLog` takes them."""
    varied: dict[str, Any] = {}
    for name in next(iter(configs.values()), {}):
        values = {json.dumps(config[name]): config[name] for config in configs.values()}
        numbers = [value for value in values.values() if type(value) in (int, float)]
        if len(values) > 1 and len(numbers) == len(values) and name != "seed":
            varied[name] = (min(numbers), max(numbers))
        elif len(values) > 1 or name in VARIED:
            varied[name] = sorted(values.values(), key=str)
    return varied
