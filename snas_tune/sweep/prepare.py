"""All that is checked and set up before the first trial of a sweep starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from snas_tune.checks import check_value
from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet, check
from snas_tune.front.storage import join
from snas_tune.search.footprint import footprint
from snas_tune.search.images import (
    check_same_images,
    form_of,
    image_lines,
    image_record,
    load_images,
)
from snas_tune.search.methods.table import method_class
from snas_tune.search.search import Search
from snas_tune.space.latency import read_latencies
from snas_tune.space.space import space_class
from snas_tune.sweep.cluster import check_resources, joined, quiet_ray, save_states_of
from snas_tune.sweep.decisions import check_journal
from snas_tune.sweep.directory import Earlier
from snas_tune.sweep.disk import checkpoint_bytes, disk_line, disk_need
from snas_tune.sweep.domain_checks import check_images, check_importable, check_space
from snas_tune.sweep.domains import absolute_paths, starting_points
from snas_tune.sweep.experiment import Description
from snas_tune.sweep.lines import say
from snas_tune.sweep.machines import (
    Answer,
    Machine,
    check_growing,
    check_machines,
    wait_for_machines,
)
from snas_tune.sweep.packing import packing_line
from snas_tune.sweep.recorded import recorded_images
from snas_tune.sweep.scheduler import ParetoScheduler, make_scheduler
from snas_tune.sweep.searcher import BatchedOptuna, ParetoSearch, make_searcher
from snas_tune.sweep.settings import SweepSettings
from snas_tune.sweep.two_objectives import check_searcher
from snas_tune.text_checks import STORAGE
from snas_tune.training.runtime import choose_device


def check_settings(space: Mapping[str, Any], address: str | None = None) -> list[SearchConfig]:
    """Check the settings of a space, and the data as far as that takes no time.

    Args:
        space: from :func:`snas_tune.sweep.sweep_space`.
        address: of a cluster, whose machines may have devices that this machine lacks.

    Returns:
        As :func:`snas_tune.sweep.domain_checks.check_space`: the config of the first members of all
        domains, and one for each other member.

    Raises:
        ValueError: a setting, the data, an op or the latency table is wrong.
    """
    configs = check_space(space)
    check_importable(configs)
    for config in configs:
        space_class(config.space).check(config)
    for method in {config.method for config in configs}:
        method_class(method)
    for device in {config.device for config in configs} if address is None else ():
        choose_device(device)
    for table in {config.latency_table for config in configs}:
        if table is not None:
            read_latencies(table)
    for config in {_data_of(config): config for config in configs}.values():
        check(config.images_at, root=config.data_root, **form_of(config))
    return configs


def _data_of(config: SearchConfig) -> tuple[object, ...]:
    return config.images_at, config.data_root, *form_of(config).values()


def check_sweep(space: Mapping[str, Any], address: str | None = None) -> SearchConfig:
    """Check all that can be known of a space before a trial starts.

    The cheap things first; then a whole search is built from the first config of the space. That
    reads the images (into the cache, if there is one), counts every option, and, where trials run
    on this machine's CPU, compiles the native kernels and measures the supernet's implementations,
    once and while nothing else runs; it trains nothing.

    Args:
        space: as for :func:`check_settings`.
        address: likewise.

    Returns:
        The first config of the space.

    Raises:
        ValueError: as :func:`check_settings`, or a member of a domain does not fit the images.
    """
    configs = check_settings(space, address)
    _build_search(configs[0], others=configs)
    return configs[0]


def _build_search(
    config: SearchConfig,
    gpus: float = 0,
    others: Sequence[SearchConfig] = (),
    images: ImageSet | None = None,
) -> Search:
    """Build a search on the CPU; trials on a GPU measure its implementations there.

    The images must fit other configs, too, where these are of the same data.
    """
    changes: dict[str, Any] = {"device": "cpu"} | ({"supernet": "plain"} if gpus else {})
    if config.compile:  # under which the plain one runs; to compile it here would take minutes
        changes |= {"supernet": "plain", "compile": False}
    with _threads_of(config):
        images = load_images(config) if images is None else images
        same = [other for other in others if _data_of(other) == _data_of(config)]
        check_images(same, images)
        return Search(SearchConfig.from_dict({**config.to_dict(), **changes}), images)


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
    check_value("storage_path", path, STORAGE)
    return path if "://" in path else str(Path(path).expanduser().resolve())


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
    a trial whose machine died the idle processes of the same dead machine, one after another, and
    each counts as a failure of the trial."""


def prepare(space: Mapping[str, Any], settings: SweepSettings) -> Prepared:
    """Check everything, the quick things first, start Ray, and note what the sweep is.

    Args:
        space: from :func:`snas_tune.sweep.sweep_space`.
        settings: of the sweep.

    Raises:
        ValueError: an input is wrong; no trial has started.
    """
    check_searcher(settings.searcher, settings.concurrent)
    if settings.machines > 1 and not joined(settings.address):
        raise ValueError(
            f"machines must be 1 without the address of a cluster, got {settings.machines}"
        )
    storage = absolute_storage(settings.storage_path)
    path = join(storage, settings.name)
    earlier = Earlier.of(path) if settings.resume else None
    space = absolute_paths(space)
    space["threads"] = space.get("threads") or _threads(settings, earlier)
    configs = check_settings(space, settings.address)
    config = configs[0]
    scheduler = make_scheduler(
        config,
        rule=settings.rule,
        grace_period=settings.grace_period,
        reduction_factor=settings.reduction_factor,
    )
    points = starting_points(space, settings.trials, settings.seed)
    if earlier is not None:
        settings = earlier.resumed(space, settings, path)
        if settings.progress and (line := earlier.beginning(settings.name, storage)):
            say(line)
        if earlier.restores:
            check_journal(path, scheduler.settings, scheduler.judge.levels)
    machines, answers = _cluster(settings, storage)
    concurrent = settings.concurrent or _slots(settings, machines)
    settings = replace(settings, concurrent=concurrent)
    images = _read_images(config, settings, path)
    if earlier is not None and earlier.description is not None:
        space = earlier.description.moved(space)
        if settings.progress and (place := space.get("data_place")):
            say(f"the images are now in {place}")
    _say_what_fits(settings, configs, images, machines, answers, path)
    replace(Description.of(space, settings), images=image_record(images)).write(path)
    return Prepared(
        path=path,
        storage=storage,
        space=space,
        search_alg=make_searcher(
            settings.searcher,
            concurrent=concurrent,
            seed=settings.seed,
            points=points,
            max_t=None if settings.rule == "fifo" else config.epochs,
        ),
        scheduler=scheduler,
        restore=earlier is not None and earlier.restores,
        reuse_actors=not answers,
    )


def _threads(settings: SweepSettings, earlier: Earlier | None) -> int:
    """Of a trial where none are asked for: results depend on them, so a resume keeps them."""
    recorded = earlier.description.space.get("threads") if earlier and earlier.description else None
    return recorded or max(1, int(settings.cpus_per_trial))


def _cluster(settings: SweepSettings, storage: str) -> tuple[list[Machine], Mapping[str, Answer]]:
    """Start or join Ray; its machines, and what each answers if there may be several."""
    quiet_ray(address=settings.address)
    save_states_of(settings.trials)
    check_resources(settings.cpus_per_trial, settings.gpus_per_trial, settings.address)
    machines = wait_for_machines(settings.machines)
    if not joined(settings.address) and len(machines) == 1:
        return machines, {}
    check_growing(storage, machines, settings.cpus_per_trial, settings.gpus_per_trial)
    return machines, check_machines(storage, machines)


def _slots(settings: SweepSettings, machines: list[Machine]) -> int:
    """As many trials at a time as there is room for."""
    slots = sum(
        machine.slots(settings.cpus_per_trial, settings.gpus_per_trial) for machine in machines
    )
    if not slots:
        raise ValueError(
            "concurrent must be given where no machine that is alive has room for a trial, got None"
        )
    return slots


def _read_images(config: SearchConfig, settings: SweepSettings, path: str) -> ImageSet:
    """The training images, after a line that says what was read.

    Raises:
        ValueError: they cannot be read, or are not those of the sweep to resume.
    """
    images = load_images(config)
    if settings.resume:
        check_same_images(recorded_images(path), image_record(images), same=True)
    if settings.progress:
        for line in image_lines(config, images):
            say(line)
    return images


def _say_what_fits(
    settings: SweepSettings,
    configs: Sequence[SearchConfig],
    images: ImageSet,
    machines: list[Machine],
    answers: Mapping[str, Answer],
    path: str,
) -> None:
    """Say how much disk and memory the sweep takes.

    Raises:
        ValueError: the disk has less.
    """
    config = configs[0]
    search = _build_search(config, settings.gpus_per_trial, configs, images)
    line = disk_line(disk_need(settings, config, checkpoint_bytes(search)), path)
    if not settings.progress:
        return
    say(line)
    with _threads_of(config):
        need = footprint(search)
    cpus, gpus = settings.cpus_per_trial, settings.gpus_per_trial
    say(packing_line(need, machines, answers, cpus, gpus))
