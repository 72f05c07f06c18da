"""What a resumed sweep does otherwise than before: Tune goes on with what it saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune import CheckpointConfig
from ray.tune.experiment import Experiment, Trial
from ray.tune.search import Searcher, SearchGenerator

from snas_tune.config import PLACES
from snas_tune.files import first_line


class SweepGenerator(SearchGenerator):  # type: ignore[misc]  # Ray's classes are untyped here
    """Asks a searcher for trials until there are as many as the sweep now has.

    Args:
        searcher: proposes them.
        trials: in all, those that were there before included.
        changes: what new trials of a resumed sweep have otherwise than earlier ones: keys of
            Tune's ``Experiment.spec``.
        places: settings of searches that say where things lie now, for new trials, too.
        restores: whether Tune is to go on with a sweep that it saved.
    """

    def __init__(
        self,
        searcher: Searcher,
        trials: int,
        changes: Mapping[str, Any],
        *,
        places: Mapping[str, Any],
        restores: bool,
    ) -> None:
        super().__init__(searcher)
        self._places = dict(places)
        self._trials, self._changes, self._restores = trials, dict(changes), restores
        self._reason = "its saved state cannot be read"

    def restore_from_dir(self, dirpath: str) -> None:
        """Read the saved state of the searcher; the reason is kept if that fails."""
        try:
            super().restore_from_dir(dirpath)
        except Exception as error:  # Tune would say nothing and start anew
            self._reason = first_line(error)
            raise

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a saved state, but the number of trials and what new ones are like."""
        super().set_state(state)
        self._total_samples, self._finished = self._trials, False
        spec = self._experiment.spec
        spec.update(self._changes)
        spec["config"] = {**spec["config"], **self._places}

    def add_configurations(self, experiments: list[Experiment]) -> None:
        """Begin a sweep.

        Raises:
            ValueError: one was to be restored, and Tune could not; it would write an empty one
                over it.
        """
        if self._restores:
            raise ValueError(f"sweep to resume must be one that Tune can read, got: {self._reason}")
        super().add_configurations(experiments)


def places_of(space: Mapping[str, Any]) -> dict[str, Any]:
    """Where things lie for the searches of a space; images that were not moved are at ``data``."""
    return {"data_place": None, **{name: space[name] for name in PLACES if name in space}}


def renew(
    trials: Sequence[Trial],
    checkpoints: CheckpointConfig,
    max_failures: int,
    places: Mapping[str, Any],
) -> None:
    """Give the restored trials of a sweep that still run what is asked for now.

    Args:
        trials: all of them.
        checkpoints: how often they save themselves, and how many of these Tune keeps.
        max_failures: retries of a trial.
        places: settings that say where things lie now, which are in no trial's name.
    """
    for trial in trials:
        if not trial.is_finished():
            trial.max_failures = max_failures
            trial.config = {**trial.config, **places}
            trial.run_metadata.checkpoint_manager._checkpoint_config = checkpoints
