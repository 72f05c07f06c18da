"""A whole sweep: every input checked, Ray started quietly, trials run, the front read back."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune

from snas_tune.config import SearchConfig
from snas_tune.data import check
from snas_tune.front import FILE_NAME, FrontFile, ParetoFront, check_writable
from snas_tune.genotype import Genotype
from snas_tune.method.ops import check_ops
from snas_tune.method.runtime import choose_device
from snas_tune.method.search import Search
from snas_tune.pictures import front_figure, genotype_svg, save
from snas_tune.sweep.callbacks import failure_of, sweep_callbacks
from snas_tune.sweep.searcher import make_searcher
from snas_tune.sweep.space import first_config, spread_points, trial_name
from snas_tune.sweep.trainable import SnasTrainable


def quiet_ray(*, address: str | None = None, cpus: int | None = None) -> None:
    """Start Ray on this machine, or join a cluster, if this process has not yet.

    Args:
        address: of a running cluster, such as ``auto``; a new local one if not given.
        cpus: cores that a local one may use; all of them if not given.
    """
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # our own lines show progress
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Experiment state is small: save it often, so that a killed driver repeats little.
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "5")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if ray.is_initialized():
        return
    local = {} if address else {"num_cpus": cpus, "include_dashboard": False}
    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep ended with."""

    path: str
    """The experiment's directory in the storage."""

    front: ParetoFront
    """Every child of every trial, and the front of them."""

    failed: dict[str, str]
    """The reason of each failed trial, by its name. The others' results are whole."""


def check_sweep(
    space: Mapping[str, Any], storage_path: str, address: str | None = None
) -> SearchConfig:
    """Check all that can be known before a trial starts.

    The cheap things first; then a whole search is built from the first config of the space, which
    reads the images (into the cache, if there is one) and counts every op, but trains nothing.

    Args:
        space: from :func:`snas_tune.sweep.search_space`.
        storage_path: where results will go.
        address: of a cluster, whose nodes may have devices that this machine lacks.

    Returns:
        A config of the space, its varied settings at their lower ends.

    Raises:
        ValueError: a setting, the data, an op, the latency table or the storage path is wrong.
    """
    config = SearchConfig.from_dict(first_config(space))
    check_ops(config.ops)
    check_writable(storage_path)
    if address is None:
        choose_device(config.device)
    check(
        config.data,
        root=config.data_root,
        image_size=config.image_size,
        channels=config.image_channels,
    )
    Search(SearchConfig.from_dict({**config.to_dict(), "device": "cpu"}))
    return config


def check_name(name: str) -> None:
    """Raise ``ValueError`` unless ``name`` can be a directory of the storage."""
    if not name or "/" in name or name in (".", ".."):
        raise ValueError(f"name must be that of a directory, without a slash, got {name!r}")


def _storage(path: str) -> str:
    """An absolute path or a URI: Ray's workers have other working directories."""
    return path if "://" in path else str(Path(path).expanduser().resolve())


def run_sweep(
    space: Mapping[str, Any],
    *,
    name: str,
    storage_path: str = "results",
    trials: int = 16,
    concurrent: int | None = None,
    cpus_per_trial: float = 1,
    gpus_per_trial: float = 0,
    searcher: str = "tpe",
    seed: int = 0,
    resume: bool = False,
    checkpoint_every: int = 1,
    keep_checkpoints: int | None = None,
    max_failures: int = 1,
    address: str | None = None,
    progress: bool = True,
) -> SweepResult:
    """Run a sweep with ``tune.run`` and return its front.

    Args:
        space: from :func:`snas_tune.sweep.search_space`.
        name: of the experiment: its directory in the storage.
        storage_path: a folder, or a URI that all nodes reach.
        trials: searches in all.
        concurrent: searches at a time; as many as the CPUs allow if not given.
        cpus_per_trial: cores of a trial; torch uses as many threads.
        gpus_per_trial: a fraction lets several trials share a GPU.
        searcher: ``tpe``, ``nsga2`` or ``random``; the first trials are spread evenly.
        seed: of the searcher. With the searches' own seed it fixes the front.
        resume: go on with the experiment of that name; what had finished stays.
        checkpoint_every: epochs between checkpoints; there is always one at the end.
        keep_checkpoints: the last ones that are kept for each trial; all if not given.
        max_failures: how often a trial is tried again from its last checkpoint.
        address: of a Ray cluster; a local one is started if not given.
        progress: write lines to standard error.

    Raises:
        ValueError: an input is wrong; no trial has started.
    """
    storage = _storage(storage_path)
    check_name(name)
    FrontFile(f"{storage}/{name}/{FILE_NAME}")  # refuses a newer format before any work
    arguments = sweep_arguments(
        space,
        storage_path=storage,
        trials=trials,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        searcher=searcher,
        seed=seed,
        address=address,
    )
    analysis = tune.run(
        SnasTrainable,
        name=name,
        storage_path=storage,
        resources_per_trial={"cpu": cpus_per_trial, "gpu": gpus_per_trial},
        trial_name_creator=_name_of,
        trial_dirname_creator=_name_of,
        checkpoint_config=tune.CheckpointConfig(
            checkpoint_frequency=checkpoint_every,
            checkpoint_at_end=True,
            num_to_keep=keep_checkpoints,
        ),
        max_failures=max_failures,
        callbacks=sweep_callbacks(trials, progress=progress),
        resume="AUTO+ERRORED" if resume else None,
        reuse_actors=True,
        raise_on_failed_trial=False,
        verbose=0,
        **arguments,
    )
    failed = {
        trial_name(trial.config): failure_of(trial)
        for trial in analysis.trials
        if trial.status == "ERROR"
    }
    path = f"{storage}/{name}"
    return SweepResult(path, ParetoFront.read(path), failed)


def sweep_arguments(
    space: Mapping[str, Any],
    *,
    storage_path: str,
    trials: int,
    concurrent: int | None,
    cpus_per_trial: float,
    searcher: str,
    seed: int,
    address: str | None,
) -> dict[str, Any]:
    """Check everything, start Ray, and return ``config``, ``search_alg`` and ``num_samples``."""
    if trials < 1:
        raise ValueError(f"trials must be positive, got {trials}")
    if not cpus_per_trial > 0:
        raise ValueError(f"cpus_per_trial must be positive, got {cpus_per_trial}")
    check_sweep(space, storage_path, address)
    quiet_ray(address=address)
    if concurrent is None:
        concurrent = max(1, int(ray.cluster_resources().get("CPU", 1) // cpus_per_trial))
    threads = space.get("threads") or max(1, int(cpus_per_trial))
    return {
        "config": {**space, "threads": threads},
        "num_samples": trials,
        "search_alg": make_searcher(
            searcher,
            concurrent=concurrent,
            seed=seed,
            points=spread_points(space, min(trials, 16), seed),
        ),
    }


def _name_of(trial: Any) -> str:
    return trial_name(trial.config)


def make_tuner(
    space: Mapping[str, Any],
    *,
    name: str,
    storage_path: str = "results",
    trials: int = 16,
    concurrent: int | None = None,
    cpus_per_trial: float = 1,
    gpus_per_trial: float = 0,
    searcher: str = "tpe",
    seed: int = 0,
    max_failures: int = 1,
    address: str | None = None,
) -> tune.Tuner:
    """The sweep of :func:`run_sweep` as a ``tune.Tuner``: ``make_tuner(...).fit()``.

    To go on with an interrupted one: ``tune.Tuner.restore(path, trainable)``, with the
    trainable of :func:`tuner_trainable`.
    """
    storage = _storage(storage_path)
    arguments = sweep_arguments(
        space,
        storage_path=storage,
        trials=trials,
        concurrent=concurrent,
        cpus_per_trial=cpus_per_trial,
        searcher=searcher,
        seed=seed,
        address=address,
    )
    return tune.Tuner(
        tuner_trainable(cpus_per_trial, gpus_per_trial),
        param_space=arguments["config"],
        tune_config=tune.TuneConfig(
            num_samples=trials,
            search_alg=arguments["search_alg"],
            reuse_actors=True,
            trial_name_creator=_name_of,
            trial_dirname_creator=_name_of,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=storage,
            callbacks=sweep_callbacks(trials),
            failure_config=tune.FailureConfig(max_failures=max_failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, checkpoint_at_end=True),
            verbose=0,
        ),
    )


def tuner_trainable(cpus_per_trial: float = 1, gpus_per_trial: float = 0) -> Any:
    """:class:`SnasTrainable` with its resources, for ``tune.Tuner`` and ``tune.Tuner.restore``."""
    return tune.with_resources(SnasTrainable, {"cpu": cpus_per_trial, "gpu": gpus_per_trial})


def write_pictures(result: SweepResult, directory: str | Path) -> list[Path]:
    """Draw the front and every cell on it into a local folder.

    Returns:
        The files: ``front.svg``, ``front.png``, and ``cells/<place>-<trial>-<epoch>.svg`` from the
        cheapest to the dearest.
    """
    directory = Path(directory)
    (directory / "cells").mkdir(parents=True, exist_ok=True)
    front = result.front
    points = [{**row, "on_front": bool(on)} for row, on in zip(front.rows, front.mask, strict=True)]
    figure = front_figure(points)
    files = []
    for suffix in ("svg", "png"):
        files.append(directory / f"front.{suffix}")
        save(figure, files[-1])
    for place, row in enumerate(front.front):
        title = f"{100 * row['child_accuracy']:.1f} %, {row['flops'] / 1e6:.3f} MFLOPs"
        path = directory / "cells" / f"{place:02d}-{row['trial']}-{row['epoch']}.svg"
        path.write_text(genotype_svg(Genotype.from_json(row["genotype"]), title=title))
        files.append(path)
    return files
