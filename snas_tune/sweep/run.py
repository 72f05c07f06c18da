"""A whole sweep in one call: everything checked, trials run, the front read back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

from ray import tune
from ray.tune.experiment import Trial

from snas_tune.arguments import checked
from snas_tune.checks import FUNCTION, NOT_NEGATIVE, POSITIVE, at_most, is_instance
from snas_tune.files import first_line
from snas_tune.front.storage import STORAGE_ERRORS, join
from snas_tune.setting_checks import SETTINGS
from snas_tune.sweep.callbacks import SweepDriver
from snas_tune.sweep.callbacks.trials import sweep_trial
from snas_tune.sweep.callbacks.tune_files import tune_files
from snas_tune.sweep.claim import Claim
from snas_tune.sweep.directory import claim_experiment
from snas_tune.sweep.lines import say
from snas_tune.sweep.prepare import absolute_storage, prepare
from snas_tune.sweep.ray_watch import SweepWatch
from snas_tune.sweep.result import SweepResult, ended_line, sweep_result
from snas_tune.sweep.resumed import SweepGenerator, places_of, renew
from snas_tune.sweep.settings import FRONT, MOST_CORES, SweepSettings
from snas_tune.sweep.trainable import SnasTrainable


@checked
def run_sweep(
    space: Annotated[Mapping[str, Any], SETTINGS],
    settings: Annotated[SweepSettings, is_instance(SweepSettings)],
    *,
    on_start: Annotated[Callable[[str], None] | None, FUNCTION] = None,
    on_stuck: Annotated[Callable[[str], None], FUNCTION] = say,
) -> SweepResult:
    """Run a sweep with ``tune.run`` and return its front.

    Ctrl-C (or SIGTERM, or SIGHUP) ends it early, and the result says so.

    Args:
        space: from :func:`snas_tune.sweep.sweep_space`.
        settings: of the sweep.
        on_start: called with the experiment's directory when all is checked, before any trial.
        on_stuck: called from another thread, with one line, when the sweep is lost and this call
            cannot return, as it waits inside Ray; a program may end itself there.

    Raises:
        ValueError: an input is wrong, and no trial has started; or the storage went away.
        SweepLost: Ray's own processes or the results' folder are gone; what is saved is said.
    """
    with claim_of(settings) as held:
        return run_claimed(space, settings, held, on_start, on_stuck)


def claim_of(settings: SweepSettings) -> Claim:
    """Claim the directory of a sweep for this process.

    Raises:
        ValueError: another process runs the sweep, or its name is not one that can be used so.
    """
    storage = absolute_storage(settings.storage_path)
    return claim_experiment(storage, settings.name, resume=settings.resume)


def run_claimed(
    space: Mapping[str, Any],
    settings: SweepSettings,
    held: Claim,
    on_start: Callable[[str], None] | None = None,
    on_stuck: Callable[[str], None] = say,
) -> SweepResult:
    """:func:`run_sweep` in a directory that this process has claimed."""
    path = join(absolute_storage(settings.storage_path), settings.name)
    watch = SweepWatch(path, stuck=on_stuck)
    with watch.over_all():
        return _run(space, settings, held, watch, on_start)


def _run(
    space: Mapping[str, Any],
    settings: SweepSettings,
    held: Claim,
    watch: SweepWatch,
    on_start: Callable[[str], None] | None,
) -> SweepResult:
    ready = prepare(space, settings)
    if on_start is not None:
        on_start(ready.path)
    checkpoints = _checkpoints(settings)
    places = places_of(ready.space)
    begin = partial(
        renew, checkpoints=checkpoints, max_failures=settings.max_failures, places=places
    )
    driver = SweepDriver(settings.trials, progress=settings.progress, space=ready.space)
    watch.front = driver.front
    driver.run_for(held, keep_front=settings.keep_checkpoints == FRONT, begin=begin)
    changes = {
        "num_samples": settings.trials,
        "resources_per_trial": _resources(settings),
        "checkpoint_config": checkpoints,
        "max_failures": settings.max_failures,
    }
    generator = SweepGenerator(
        ready.search_alg, settings.trials, changes, places=places, restores=ready.restore
    )
    with _termination_as_interrupt(), _storage_errors_named(ready.storage):
        analysis = tune.run(
            SnasTrainable,
            name=settings.name,
            storage_path=ready.storage,
            config=ready.space,
            num_samples=settings.trials,
            search_alg=generator,
            scheduler=ready.scheduler,
            resources_per_trial=_resources(settings),
            trial_name_creator=_name_of,
            trial_dirname_creator=_name_of,
            checkpoint_config=checkpoints,
            max_failures=settings.max_failures,
            callbacks=[driver, watch, *tune_files()],
            resume="AUTO+ERRORED" if ready.restore else None,
            reuse_actors=ready.reuse_actors,
            raise_on_failed_trial=False,
            verbose=0,
        )
    result = sweep_result(ready.path, analysis, settings.trials)
    if settings.progress and ready.restore and (line := ended_line(result, heard=watch.heard)):
        say(line)
    return result


def _name_of(trial: Trial) -> str:
    """For Tune, which saves this function's name with each trial: a resume looks for it here."""
    return sweep_trial(trial).name


def _resources(settings: SweepSettings) -> dict[str, float]:
    """Of a trial, as Tune names them."""
    return {"cpu": settings.cpus_per_trial, "gpu": settings.gpus_per_trial}


def _checkpoints(settings: SweepSettings) -> tune.CheckpointConfig:
    keep = settings.keep_checkpoints
    return tune.CheckpointConfig(
        checkpoint_frequency=settings.checkpoint_every,
        checkpoint_at_end=True,
        num_to_keep=keep if isinstance(keep, int) else None,
    )


def _interrupt(*_: object) -> None:
    """What Ctrl-C does now, also in a process that began in the background and ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Inside, SIGTERM ends a sweep as Ctrl-C does: what has finished is saved first.

    So does SIGHUP, the end of the terminal, unless it is ignored, as under ``nohup``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    ends = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    before = {each: signal.signal(each, _interrupt) for each in ends}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _storage_errors_named(storage: str) -> Iterator[None]:
    try:
        yield
    except STORAGE_ERRORS as error:
        raise ValueError(
            f"storage path {storage} must stay reachable, got {first_line(error)}"
        ) from error


@checked
def make_tuner(
    space: Annotated[Mapping[str, Any], SETTINGS],
    settings: Annotated[SweepSettings, is_instance(SweepSettings)],
) -> tune.Tuner:
    """The sweep of :func:`run_sweep` as a ``tune.Tuner``: ``make_tuner(...).fit()``.

    To go on with an interrupted one: ``tune.Tuner.restore(path, trainable)``, with the
    trainable of :func:`tuner_trainable`. What ``fit`` returns, :func:`sweep_result` reads.

    Args:
        space: from :func:`snas_tune.sweep.sweep_space`.
        settings: of the sweep; ``resume`` must be off.

    Raises:
        ValueError: an input is wrong.
    """
    if settings.resume:
        raise ValueError("resume must be off for a tuner, which tune.Tuner.restore resumes, got on")
    held = claim_of(settings)
    try:
        ready = prepare(space, settings)
    except BaseException:
        held.release()
        raise
    driver = SweepDriver(settings.trials, progress=settings.progress, space=ready.space)
    driver.run_for(held, keep_front=settings.keep_checkpoints == FRONT)
    return tune.Tuner(
        tuner_trainable(settings.cpus_per_trial, settings.gpus_per_trial),
        param_space=ready.space,
        tune_config=tune.TuneConfig(
            num_samples=settings.trials,
            search_alg=ready.search_alg,
            scheduler=ready.scheduler,
            reuse_actors=ready.reuse_actors,
            trial_name_creator=_name_of,
            trial_dirname_creator=_name_of,
        ),
        run_config=tune.RunConfig(
            name=settings.name,
            storage_path=ready.storage,
            callbacks=[driver, SweepWatch(ready.path, driver.front), *tune_files()],
            failure_config=tune.FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=_checkpoints(settings),
            verbose=0,
        ),
    )


@checked
def tuner_trainable(
    cpus_per_trial: Annotated[float, POSITIVE, at_most(MOST_CORES)] = 1,
    gpus_per_trial: Annotated[float, NOT_NEGATIVE, at_most(MOST_CORES)] = 0,
) -> Any:
    """:class:`SnasTrainable` with its resources, for ``tune.Tuner`` and ``tune.Tuner.restore``."""
    return tune.with_resources(SnasTrainable, {"cpu": cpus_per_trial, "gpu": gpus_per_trial})
