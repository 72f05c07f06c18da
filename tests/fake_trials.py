"""Trials that only look like Tune's, for the driver's callback."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.fs
from conftest import TINY

from snas_tune.config import SearchConfig
from snas_tune.results import METRICS
from snas_tune.space.cell.genotype import Cell, Edge, Genotype
from snas_tune.sweep import SweepDriver

SKIP = Cell(1, (Edge("skip_connect", 0, 2),), (2,))
LARGEST = 1e6


class FakeTrial(SimpleNamespace):
    """What the driver asks of a trial."""

    __hash__ = object.__hash__

    def is_finished(self) -> bool:
        return self.finished


def a_trial(root: Path, number: int) -> FakeTrial:
    config = {**SearchConfig(**TINY).to_dict(), "penalty_strength": 0.5 + number}
    storage = SimpleNamespace(
        experiment_fs_path=str(root), storage_filesystem=pyarrow.fs.LocalFileSystem()
    )
    return FakeTrial(
        trial_id=f"id{number}",
        config=config,
        storage=storage,
        finished=False,
        last_result=None,
        run_metadata=SimpleNamespace(
            checkpoint_manager=SimpleNamespace(best_checkpoint_results=[])
        ),
    )


def a_report(epoch: int, accuracy: float, flops: int) -> dict[str, object]:
    known = {metric.name: 0.5 for metric in METRICS}
    whole = {"epoch": epoch, "step": 10 * epoch, "params": 9, "params_with_dead": 9, "memory": 9}
    return {
        **known,
        **whole,
        "child_accuracy": accuracy,
        "flops": flops,
        "largest_flops": LARGEST,
        "architecture": Genotype(SKIP, SKIP).to_json(),
        "done": epoch == 3,
    }


def keep(trial: FakeTrial, epochs: list[int]) -> None:
    """As if Tune kept the checkpoints of these epochs."""
    root = trial.storage.experiment_fs_path
    trial.run_metadata.checkpoint_manager.best_checkpoint_results = [
        SimpleNamespace(
            metrics={"epoch": epoch},
            checkpoint=SimpleNamespace(path=f"{root}/t/checkpoint_{epoch}"),
        )
        for epoch in epochs
    ]


def settle(driver: SweepDriver) -> None:
    """Wait until the view's thread has nothing left to do."""
    end = time.monotonic() + 60
    while driver._log._view._pieces:
        assert time.monotonic() < end
        time.sleep(0.005)


def run(
    driver: SweepDriver,
    trials: list[FakeTrial],
    begun: list[FakeTrial] | None = None,
    settled: bool = True,
) -> list[dict[str, object]]:
    """Three epochs of each trial in turn; the results, as Tune's own files would have them."""
    begun = trials if begun is None else begun
    generator = np.random.default_rng([int(trial.trial_id[2:]) for trial in trials])
    results = []
    for trial in trials:
        driver.on_trial_start(0, begun, trial)
        for epoch in (1, 2, 3):
            accuracy, flops = generator.integers(1, 10, 2)
            result = a_report(epoch, float(accuracy) / 10, int(flops) * 1000)
            driver.on_trial_result(epoch, begun, trial, result)
            trial.last_result = result
            results.append(result)
            keep(trial, list(range(1, epoch + 1))[-2:])
            driver.on_trial_save(epoch, begun, trial)
        driver.on_trial_complete(3, begun, trial)
        trial.finished = True
    if settled:
        settle(driver)
    return results
