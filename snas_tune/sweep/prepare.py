"""All that is checked and set up before the first trial of a sweep starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from snas_tune.config import SearchConfig
from snas_tune.data import check
from snas_tune.search.footprint import footprint
from snas_tune.search.search import Search
from snas_tune.space.cell.ops import check_ops, import_ops
from snas_tune.sweep.cluster import check_request, check_resources, joined, quiet_ray
from snas_tune.sweep.domains import absolute_paths, first_config, starting_points
from snas_tune.sweep.experiment import Description, can_restore, check_experiment
from snas_tune.sweep.machines import Answer, Node, check_growing, check_nodes, wait_for_nodes
from snas_tune.sweep.packing import packing_line
from snas_tune.sweep.scheduler import ParetoScheduler, make_scheduler
from snas_tune.sweep.searcher import BatchedOptuna, ParetoSearch, check_searcher, make_searcher
from snas_tune.training.runtime import choose_device


def check_settings(space: Mapping[str, Any], address: str | None = None) -> SearchConfig:
    """Check the settings of a space, and the data as far as that takes no time.

    Args:
        space: from :func:`snas_tune.sweep.sweep_space`.
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


def _build_search(config: SearchConfig, gpus: float = 0) -> Search:
    """Build a search on the CPU; for trials on a GPU its form is measured there, and not here."""
    changes: dict[str, Any] = {"device": "cpu"} | ({"supernet": "plain"} if gpus else {})
    if config.compile:  # under which the plain form runs; to compile it here would take minutes
        changes |= {"supernet": "plain", "compile": False}
    with _threads_of(config):
        return Search(SearchConfig.from_dict({**config.to_dict(), **changes}))


@contextmanager
def _threads_of(config: SearchConfig) -> Iterator[None]:
    """As many threads as the trials will have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads or threads)
    try:
        yield
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
    nodes: int
    checkpoint_every: int
    keep_checkpoints: int | None
    max_failures: int
    progress: bool


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

    reuse_actors: bool
    """Whether a trial may take over the process of one that has ended. Not on a cluster: Tune gives
    a trial whose node died the idle processes of the same dead node, one after another, and each
    counts as a failure of the trial."""


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
    nodes = wait_for_nodes(request.nodes)
    answers = _check_cluster(request, storage, nodes)
    concurrent = concurrent or _slots(request, nodes)
    _say_what_fits(request, config, nodes, answers)
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
        reuse_actors=not answers,
    )


def _check_cluster(request: SweepRequest, storage: str, nodes: list[Node]) -> Mapping[str, Answer]:
    if not joined(request.address) and len(nodes) == 1:
        return {}
    check_growing(storage, nodes, request.cpus_per_trial, request.gpus_per_trial)
    return check_nodes(storage, nodes)


def _slots(request: SweepRequest, nodes: list[Node]) -> int:
    """As many trials at a time as there is room for."""
    slots = sum(node.slots(request.cpus_per_trial, request.gpus_per_trial) for node in nodes)
    if not slots:
        raise ValueError(
            "concurrent must be given where no node that is alive has room for a trial, got None"
        )
    return slots


def _say_what_fits(
    request: SweepRequest,
    config: SearchConfig,
    nodes: list[Node],
    answers: Mapping[str, Answer],
) -> None:
    search = _build_search(config, request.gpus_per_trial)
    if not request.progress:
        return
    with _threads_of(config):
        need = footprint(search)
    cpus, gpus = request.cpus_per_trial, request.gpus_per_trial
    sys.stderr.write(f"{packing_line(need, nodes, answers, cpus, gpus)}\n")


def _check_numbers(request: SweepRequest) -> None:
    positive = {
        "trials": request.trials,
        "nodes": request.nodes,
        "checkpoint_every": request.checkpoint_every,
    }
    if request.keep_checkpoints is not None:
        positive["keep_checkpoints"] = request.keep_checkpoints
    for name, number in positive.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be positive, got {number!r}")
    if not isinstance(request.max_failures, int) or request.max_failures < 0:
        raise ValueError(f"max_failures must be 0 or more, got {request.max_failures!r}")
    if request.nodes > 1 and not joined(request.address):
        raise ValueError(f"nodes must be 1 without the address of a cluster, got {request.nodes}")
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
