"""One SNAS search as a Tune trial: an epoch is an iteration, its report the trial's result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import torch
from ray import tune
from ray._private.state import state as cluster_state
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from snas_tune.config import SearchConfig
from snas_tune.results import ARCHITECTURE, EPOCH, METRICS, STEP
from snas_tune.search.checkpoint import read_state, restore, save_search
from snas_tune.search.search import Search
from snas_tune.training.diverged import Diverged

FAILURE = "failure"
"""What a report holds, beside NaN, when the trial will fail for a reason that trying again keeps:
its one line. The callbacks of a sweep then take the trial's further attempts away."""


class SnasTrainable(tune.Trainable):  # type: ignore[misc]  # Ray's classes are untyped here
    """A search whose config is the trial's config: the fields of :class:`SearchConfig` by name.

    Every iteration is an epoch and returns the names of :data:`snas_tune.results.METRICS`, the
    architecture, and ``done`` after the last epoch. A checkpoint holds the whole state, so a trial
    that is restored anywhere reports what the uninterrupted one would have reported.

    Tune tries a failed trial again as often as ``max_failures`` says, which is meant for processes
    that died. A diverged search or a wrong setting fails the same way every time, so it is first
    reported (:data:`FAILURE`), and raised by whatever Tune asks for next.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Build the search."""
        self._build(config)

    def _build(self, config: dict[str, Any]) -> None:
        self._failure: Exception | None = None
        self._told = False
        self.__dict__.pop("search", None)  # makes room for the next one
        with self._noting_failure():
            settings = SearchConfig.from_dict(config)
            if settings.threads is not None:
                torch.set_num_threads(settings.threads)  # of this process, which runs one trial
            self.search = Search(settings)

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except (Diverged, ValueError) as error:
            self._failure = error

    def step(self) -> dict[str, Any]:
        """Search for one epoch and report it.

        Raises:
            Diverged: the loss is no longer finite; reported before.
            ValueError: a setting or a checkpoint is wrong; reported before.
        """
        if self._failure is None:
            with self._noting_failure():
                report = self.search.run_epoch()
                if machine_will_go():
                    report[SHOULD_CHECKPOINT] = True
                return {**report, DONE: self.search.finished}
        if self._told:
            self._raise_failure()
        self._told = True
        return self._failure_report()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _failure_report(self) -> dict[str, Any]:
        search = self.__dict__.get("search")  # not there if it could not be built
        place = {EPOCH: search.epoch if search else 0, STEP: search.step if search else 0}
        unknown = {metric.name: math.nan for metric in METRICS}
        return {**unknown, **place, ARCHITECTURE: "", FAILURE: str(self._failure), DONE: False}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the whole state.

        Raises:
            Diverged: as :meth:`step`.
            ValueError: likewise.
        """
        self._raise_failure()
        save_search(self.search, checkpoint_dir)

    def load_checkpoint(self, checkpoint: str) -> None:
        """Go on from a checkpoint's directory."""
        if self._failure is None:
            with self._noting_failure():
                restore(self.search, read_state(checkpoint), checkpoint)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process (``reuse_actors``), which saves its start."""
        self._build(new_config)
        return True


def machine_will_go() -> bool:
    """Whether Ray was told that this process's machine will be taken away (``ray drain-node``).

    The trials of such a machine save themselves at the end of their epoch, at whatever frequency
    they do otherwise. Ray has no public way to ask; ``ray.train`` asks in the same way.
    """
    if not ray.is_initialized():
        return False
    return ray.get_runtime_context().get_node_id() in cluster_state.get_draining_nodes()
