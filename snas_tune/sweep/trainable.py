"""One SNAS search as a Tune trial: an epoch is an iteration, its report the trial's result."""

from __future__ import annotations

from typing import Any

import torch
from ray import tune

from snas_tune.config import SearchConfig
from snas_tune.method.checkpoint import read_state, save_search
from snas_tune.method.search import Search


class SnasTrainable(tune.Trainable):  # type: ignore[misc]  # Ray's classes are untyped here
    """A search whose config is the trial's config: the fields of :class:`SearchConfig` by name.

    Every iteration is an epoch and returns the names of :data:`snas_tune.results.METRICS`,
    ``genotype``, and ``done`` after the last epoch. A checkpoint holds the whole state, so a trial
    that is restored anywhere reports what the uninterrupted one would have reported.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Build the search.

        Raises:
            ValueError: a setting is wrong.
        """
        self._build(config)

    def _build(self, config: dict[str, Any]) -> None:
        settings = SearchConfig.from_dict(config)
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)  # of this process, which runs one trial
        self.search = Search(settings)

    def step(self) -> dict[str, Any]:
        """Search for one epoch and report it."""
        report = self.search.run_epoch()
        return {**report, "done": self.search.finished}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the whole state."""
        save_search(self.search, checkpoint_dir)

    def load_checkpoint(self, checkpoint: str) -> None:
        """Go on from a checkpoint's directory.

        Raises:
            ValueError: it cannot be read, or is of another search space.
        """
        self.search.load_state_dict(read_state(checkpoint))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process (``reuse_actors``), which saves its start."""
        self._build(new_config)
        return True
