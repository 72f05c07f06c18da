"""The sweep: SNAS searches as Ray Tune trials. The only room that imports ray.

Importing it imports neither ray nor torch: each name below is loaded when it is first read.

=========================  =========================================================================
:class:`SweepSettings`     how a sweep runs
:class:`SnasTrainable`     one search as a trial
:func:`sweep_space`        what a sweep varies and what it holds, as a Tune search space
:class:`ParetoScheduler`   stops trials by two objectives, at rungs
:class:`ParetoSearch`      proposes trials where the front is thin
:func:`make_scheduler`     the scheduler of a sweep of searches
:func:`make_searcher`      a searcher with two objectives by its name
:func:`sweep_callbacks`    the front file, TensorBoard and progress of a sweep
:class:`SweepDriver`       the callback behind them
:func:`run_sweep`          all of it in one call, from a check of every input to the front
:class:`SweepLost`         raised where Ray or the results' folder is gone while a sweep runs
:func:`make_tuner`         the same as a ``tune.Tuner``
:func:`sweep_result`       the front, failures and exit status of what ``tune`` returned
:func:`write_pictures`     the front and its architectures as drawings
:func:`quiet_ray`          start Ray on this machine, or join a cluster, without noise
=========================  =========================================================================

Modules: ``settings``, ``prepare`` (all that is checked before the first trial), ``run``,
``result``, ``experiment`` (an experiment's directory and description), ``cluster`` (Ray),
``watch`` and ``ray_watch`` (the end of a sweep whose Ray died), ``machines`` and ``packing`` (a
cluster's machines, and how many trials fit), ``callbacks`` (the driver's work while trials run),
``scheduler``, ``searcher``, ``domains``, ``trainable``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snas_tune.sweep.callbacks import SweepDriver, sweep_callbacks
    from snas_tune.sweep.cluster import quiet_ray
    from snas_tune.sweep.domains import sweep_space, trial_name
    from snas_tune.sweep.result import SweepResult, sweep_result, write_pictures
    from snas_tune.sweep.run import make_tuner, run_sweep, tuner_trainable
    from snas_tune.sweep.scheduler import ParetoScheduler, make_scheduler
    from snas_tune.sweep.searcher import BatchedOptuna, ParetoSearch, make_searcher
    from snas_tune.sweep.settings import SweepSettings
    from snas_tune.sweep.trainable import SnasTrainable
    from snas_tune.sweep.watch import SweepLost

_HOMES = {
    "BatchedOptuna": "searcher",
    "ParetoScheduler": "scheduler",
    "ParetoSearch": "searcher",
    "SnasTrainable": "trainable",
    "SweepDriver": "callbacks",
    "SweepLost": "watch",
    "SweepResult": "result",
    "SweepSettings": "settings",
    "make_scheduler": "scheduler",
    "make_searcher": "searcher",
    "make_tuner": "run",
    "quiet_ray": "cluster",
    "run_sweep": "run",
    "sweep_callbacks": "callbacks",
    "sweep_result": "result",
    "sweep_space": "domains",
    "trial_name": "domains",
    "tuner_trainable": "run",
    "write_pictures": "result",
}

__all__ = [
    "BatchedOptuna",
    "ParetoScheduler",
    "ParetoSearch",
    "SnasTrainable",
    "SweepDriver",
    "SweepLost",
    "SweepResult",
    "SweepSettings",
    "make_scheduler",
    "make_searcher",
    "make_tuner",
    "quiet_ray",
    "run_sweep",
    "sweep_callbacks",
    "sweep_result",
    "sweep_space",
    "trial_name",
    "tuner_trainable",
    "write_pictures",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
