"""A whole sweep in one call: everything checked, trials run, the front read back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray import tune

from snas_tune.files import first_line
from snas_tune.front.storage import STORAGE_ERRORS
from snas_tune.sweep.callbacks import sweep_callbacks
from snas_tune.sweep.domains import trial_name
from snas_tune.sweep.prepare import SweepRequest, prepare
from snas_tune.sweep.result import SweepResult, sweep_result
from snas_tune.sweep.trainable import SnasTrainable


def run_sweep(
    space: Mapping[str, Any],
    *,
    name: str,
    storage_path: str = "results",
    trials: int = 16,
    concurrent: int | None = None,
    cpus_per_trial: float = 1,
    gpus_per_trial: float = 0,
    searcher: str = "pareto",
    rule: str = "pareto",
    grace_period: int | None = None,
    reduction_factor: float = 3,
    seed: int = 0,
    resume: bool = False,
    checkpoint_every: int = 1,
    keep_checkpoints: int | None = None,
    max_failures: int = 1,
    address: str | None = None,
    nodes: int = 1,
    progress: bool = True,
) -> SweepResult:
    """Run a sweep with ``tune.run`` and return its front.

    Ctrl-C (or SIGTERM) ends it early, and the result says so.

    Args:
        space: from :func:`snas_tune.sweep.sweep_space`.
        name: of the experiment: its directory in the storage. A new one, unless ``resume``.
        storage_path: a folder, or a URI such as ``s3://bucket/sweeps``. On a cluster all nodes
            must reach it, which is tried out first: each reads what another wrote.
        trials: searches in all.
        concurrent: searches at a time; as many as the CPUs and GPUs allow if not given.
        cpus_per_trial: cores of a trial; torch uses as many threads.
        gpus_per_trial: a fraction lets several trials share a GPU.
        searcher: ``pareto`` proposes where the front is thin; ``tpe``, ``nsga2``, ``gp`` and
            ``random`` are Optuna's samplers alone. The first trials are spread evenly.
        rule: which trials go on at the rungs: a key of :data:`snas_tune.stopping.RULES`.
            ``fifo`` runs all to their end.
        grace_period: epochs to the first rung; a ninth of a trial if not given.
        reduction_factor: between the epochs of two rungs.
        seed: of the searcher. With the searches' own seed it fixes the front of a sweep that runs
            one trial at a time; at any number, if the rule is ``fifo`` and the searcher a sampler.
        resume: go on with the experiment of that name; all that is asked for must be the same. What
            had finished stays, what was stopped stays stopped, failed trials are tried again.
        checkpoint_every: epochs between checkpoints; there is always one at the end, and after an
            epoch in which Ray was told that the trial's node will go.
        keep_checkpoints: the last ones that are kept for each trial; all if not given.
        max_failures: how often a trial whose process or node died is tried again from its last
            checkpoint. A node that Ray was told would go does not count.
        address: of a Ray cluster; a local one is started if not given.
        nodes: of the cluster, the head among them, to wait for before anything is counted.
        progress: write lines to standard error.

    Raises:
        ValueError: an input is wrong, and no trial has started; or the storage went away.
    """
    ready = prepare(
        SweepRequest(
            space=space,
            name=name,
            storage_path=storage_path,
            trials=trials,
            concurrent=concurrent,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            searcher=searcher,
            rule=rule,
            grace_period=grace_period,
            reduction_factor=reduction_factor,
            seed=seed,
            resume=resume,
            address=address,
            nodes=nodes,
            checkpoint_every=checkpoint_every,
            keep_checkpoints=keep_checkpoints,
            max_failures=max_failures,
            progress=progress,
        )
    )
    with _termination_as_interrupt(), _storage_errors_named(ready.storage):
        analysis = tune.run(
            SnasTrainable,
            name=name,
            storage_path=ready.storage,
            config=ready.space,
            num_samples=trials,
            search_alg=ready.search_alg,
            scheduler=ready.scheduler,
            resources_per_trial={"cpu": cpus_per_trial, "gpu": gpus_per_trial},
            trial_name_creator=_name_of,
            trial_dirname_creator=_name_of,
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=checkpoint_every,
                checkpoint_at_end=True,
                num_to_keep=keep_checkpoints,
            ),
            max_failures=max_failures,
            callbacks=sweep_callbacks(trials, progress=progress, space=ready.space),
            resume="AUTO+ERRORED" if ready.restore else None,
            reuse_actors=ready.reuse_actors,
            raise_on_failed_trial=False,
            verbose=0,
        )
    return sweep_result(ready.path, analysis, trials)


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Inside, SIGTERM ends a sweep as Ctrl-C does: what has finished is saved first."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _storage_errors_named(storage: str) -> Iterator[None]:
    try:
        yield
    except STORAGE_ERRORS as error:
        raise ValueError(
            f"storage path {storage} must stay reachable, got {first_line(error)}"
        ) from error


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
    searcher: str = "pareto",
    rule: str = "pareto",
    grace_period: int | None = None,
    reduction_factor: float = 3,
    seed: int = 0,
    max_failures: int = 1,
    address: str | None = None,
) -> tune.Tuner:
    """The sweep of :func:`run_sweep` as a ``tune.Tuner``: ``make_tuner(...).fit()``.

    To go on with an interrupted one: ``tune.Tuner.restore(path, trainable)``, with the
    trainable of :func:`tuner_trainable`. What ``fit`` returns, :func:`sweep_result` reads.

    Raises:
        ValueError: an input is wrong.
    """
    ready = prepare(
        SweepRequest(
            space=space,
            name=name,
            storage_path=storage_path,
            trials=trials,
            concurrent=concurrent,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            searcher=searcher,
            rule=rule,
            grace_period=grace_period,
            reduction_factor=reduction_factor,
            seed=seed,
            resume=False,
            address=address,
            nodes=1,
            checkpoint_every=1,
            keep_checkpoints=None,
            max_failures=max_failures,
            progress=True,
        )
    )
    return tune.Tuner(
        tuner_trainable(cpus_per_trial, gpus_per_trial),
        param_space=ready.space,
        tune_config=tune.TuneConfig(
            num_samples=trials,
            search_alg=ready.search_alg,
            scheduler=ready.scheduler,
            reuse_actors=ready.reuse_actors,
            trial_name_creator=_name_of,
            trial_dirname_creator=_name_of,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=ready.storage,
            callbacks=sweep_callbacks(trials, space=ready.space),
            failure_config=tune.FailureConfig(max_failures=max_failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, checkpoint_at_end=True),
            verbose=0,
        ),
    )


def tuner_trainable(cpus_per_trial: float = 1, gpus_per_trial: float = 0) -> Any:
    """:class:`SnasTrainable` with its resources, for ``tune.Tuner`` and ``tune.Tuner.restore``."""
    return tune.with_resources(SnasTrainable, {"cpu": cpus_per_trial, "gpu": gpus_per_trial})
