"""All that is checked and set up before the first trial of a sweep starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from snas_tune.config import SearchConfig
from snas_tune.data import check
from snas_tune.method.ops import check_ops, import_ops
from snas_tune.method.runtime import choose_device
from snas_tune.method.search import Search
from snas_tune.sweep.cluster import check_request, check_resources, cores, quiet_ray
from snas_tune.sweep.experiment import Description, can_restore, check_experiment
from snas_tune.sweep.scheduler import ParetoScheduler, make_scheduler
from snas_tune.sweep.searcher import BatchedOptuna, ParetoSearch, check_searcher, make_searcher
from snas_tune.sweep.space import absolute_paths, first_config, starting_points


def check_settings(space: Mapping[str, Any], address: str | None = None) -> SearchConfig:
    """Check the settings of a space, and the data as far as that takes no time.

    Args:
        space: from :func:`snas_tune.sweep.search_space`.
        address: of a cluster, whose nodes may have devices that this machine lacks.

    Returns:
        A config of the space, its varied settings at their lower ends.

    Raises:
        ValueError: a setting, the data or an op is wrong.
    """
    config = SearchConfig.from_dict(first_config(space))
    import_ops(config.ops_module)
    check_ops(config.ops)
    if address is None:
        choose_device(config.device)
    check(
        config.data,
        root=config.data_root,
        image_size=config.image_size,
        channels=config.image_channels,
    )
    return config


def check_sweep(space: Mapping[str, Any], address: str | None = None) -> SearchConfig:
    """Check all that can be known of a space before a trial starts.

    The cheap things first; then a whole search is built from the first config of the space. That
    reads the images (into the cache, if there is one), counts every op, and, where trials run on
    this machine's CPU, compiles the native kernels and measures the supernet's forms, once and
    while nothing else runs; it trains nothing.

    Args:
        space: as for :func:`check_settings`.
        address: likewise.

    Returns:
        As :func:`check_settings`.

    Raises:
        ValueError: a setting, the data, an op or the latency table is wrong.
    """
    config = check_settings(space, address)
    _build_search(config)
    return config


def _build_search(config: SearchConfig, gpus: float = 0) -> None:
    """Build a search on the CPU; for trials on a GPU its form is measured there, and not here."""
    changes = {"device": "cpu"} | ({"supernet": "plain"} if gpus else {})
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads or threads)  # as the trials will
    try:
        Search(SearchConfig.from_dict({**config.to_dict(), **changes}))
    finally:
        torch.set_num_threads(threads)


def absolute_storage(path: str) -> str:
    """An absolute path or a URI: Ray's workers have other working directories."""
    return path if "://" in path else str(Path(path).expanduser().resolve())


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRequest:
    """What is asked of a sweep, see :func:`snas_tune.sweep.run_sweep`."""

    space: Mapping[str, Any]
    name: str
    storage_path: str
    trials: int
    concurrent: int | None
    cpus_per_trial: float
    gpus_per_trial: float
    searcher: str
    rule: str
    grace_period: int | None
    reduction_factor: float
    seed: int
    resume: bool
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What Tune needs for a sweep, all of it checked."""

    path: str
    """The experiment's directory."""

    storage: str
    """The directory of experiments, absolute or a URI."""

    space: dict[str, Any]
    """With absolute paths and a number of threads."""

    search_alg: BatchedOptuna | ParetoSearch

    scheduler: ParetoScheduler

    restore: bool
    """Whether Tune has saved a state to go on from."""


def prepare(request: SweepRequest) -> Prepared:
    """Check everything, the quick things first, start Ray, and note what the sweep is.

    Raises:
        ValueError: an input is wrong; no trial has started.
    """
    _check_numbers(request)
    space = absolute_paths(request.space)
    space["threads"] = space.get("threads") or max(1, int(request.cpus_per_trial))
    config = check_settings(space, request.address)
    scheduler = make_scheduler(
        config,
        rule=request.rule,
        grace_period=request.grace_period,
        reduction_factor=request.reduction_factor,
    )
    points = starting_points(space, request.trials, request.seed)
    storage = absolute_storage(request.storage_path)
    path = check_experiment(storage, request.name, resume=request.resume)
    concurrent = request.concurrent
    if request.resume:
        recorded = Description.read(path)
        recorded.check_same(_description(request, space, concurrent))
        concurrent = recorded.concurrent
    quiet_ray(address=request.address)
    check_resources(request.cpus_per_trial, request.gpus_per_trial, request.address)
    _build_search(config, request.gpus_per_trial)
    concurrent = concurrent or max(1, int(cores() // request.cpus_per_trial))
    if not request.resume:
        _description(request, space, concurrent).write(path)
    return Prepared(
        path=path,
        storage=storage,
        space=space,
        search_alg=make_searcher(
            request.searcher,
            concurrent=concurrent,
            seed=request.seed,
            points=points,
            max_t=None if request.rule == "fifo" else config.epochs,
        ),
        scheduler=scheduler,
        restore=request.resume and can_restore(path),
    )


def _check_numbers(request: SweepRequest) -> None:
    trials = request.trials
    if not isinstance(trials, int) or trials < 1:
        raise ValueError(f"trials must be positive, got {trials!r}")
    check_request(request.cpus_per_trial, request.gpus_per_trial)
    check_searcher(request.searcher, request.concurrent)


def _description(
    request: SweepRequest, space: Mapping[str, Any], concurrent: int | None
) -> Description:
    return Description.of(
        space,
        trials=request.trials,
        searcher=request.searcher,
        seed=request.seed,
        concurrent=concurrent,
        rule=request.rule,
        grace_period=request.grace_period,
        reduction_factor=request.reduction_factor,
    )
