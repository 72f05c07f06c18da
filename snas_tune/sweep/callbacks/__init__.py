"""The driver's work while a sweep runs: the front file, TensorBoard, progress, failed trials.

One callback of Tune, :class:`SweepDriver`, hears of everything and hands it on: a config is parsed
once, the hypervolume is computed once, and each part is given what it needs.

- :mod:`~snas_tune.sweep.callbacks.driver`: :class:`SweepDriver`.
- :mod:`~snas_tune.sweep.callbacks.trials`: names and parsed configs of the trials.
- :mod:`~snas_tune.sweep.callbacks.front`: the front file, and the hypervolume as it grows.
- :mod:`~snas_tune.sweep.callbacks.view`: what shows a sweep, and neither ends nor delays it.
- :mod:`~snas_tune.sweep.callbacks.tensorboard`: event files.
- :mod:`~snas_tune.sweep.callbacks.progress`: lines on standard error.
- :mod:`~snas_tune.sweep.callbacks.tune_files`: Tune's own files of results.
- :mod:`~snas_tune.sweep.callbacks.failures`: the line that says why a trial failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from ray.tune import Callback

from snas_tune.arguments import checked
from snas_tune.checks import COUNT, FLAG, at_most
from snas_tune.setting_checks import SETTINGS
from snas_tune.sweep.callbacks.driver import SweepDriver
from snas_tune.sweep.callbacks.tune_files import tune_files
from snas_tune.sweep.settings import MOST_TRIALS


@checked
def sweep_callbacks(
    trials: Annotated[int, COUNT, at_most(MOST_TRIALS)],
    *,
    progress: Annotated[bool, FLAG] = True,
    space: Annotated[Mapping[str, Any] | None, SETTINGS] = None,
) -> list[Callback]:
    """The callbacks of a sweep, for ``tune.run`` or a ``RunConfig``.

    Args:
        trials: searches in all.
        progress: write lines to standard error.
        space: the search space, so that HParams knows what varies.
    """
    return [SweepDriver(trials, progress=progress, space=space), *tune_files()]


__all__ = ["SweepDriver", "sweep_callbacks"]
