"""SweepSettings: everything that is asked of a sweep besides its search space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from snas_tune.checks import (
    ABOVE_ONE,
    COUNT,
    COUNT_OR_ZERO,
    FLAG,
    NOT_NEGATIVE,
    POSITIVE,
    TEXT,
    Check,
    check_fields,
    choice,
)
from snas_tune.stopping import RULES
from snas_tune.sweep.searcher import SEARCHERS

FIXED = "fixed"
"""Marks the settings that a resume must ask for again as they were."""

DIRECTORY = Check(
    lambda value: isinstance(value, str) and value not in ("", ".", "..") and "/" not in value,
    "that of a directory, without a slash",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """How a sweep runs. The command line, ``run_sweep``, ``make_tuner`` and a resume read this.

    Raises:
        ValueError: a value breaks its field's rule; the message names the field and the value.
    """

    name: Annotated[str, DIRECTORY]
    """Of the experiment: its directory in the storage. A new one, unless ``resume``."""

    storage_path: Annotated[str, TEXT] = "results"
    """A folder, or a URI such as ``s3://bucket/sweeps``. On a cluster every machine must reach it,
    which is tried out first: each reads what another wrote."""

    trials: Annotated[int, COUNT, FIXED] = 16
    """Searches in all."""

    concurrent: Annotated[int | None, COUNT, FIXED] = None
    """Searches at a time; as many as the CPUs and GPUs allow if not given."""

    cpus_per_trial: Annotated[float, POSITIVE] = 1
    """Cores of a trial; torch uses as many threads."""

    gpus_per_trial: Annotated[float, NOT_NEGATIVE] = 0
    """GPUs of a trial; a fraction lets several trials share one."""

    searcher: Annotated[str, choice(SEARCHERS), FIXED] = "pareto"
    """``pareto`` proposes where the front is thin; ``tpe``, ``nsga2``, ``gp`` and ``random`` are
    Optuna's samplers alone. The first trials are spread evenly."""

    rule: Annotated[str, choice(tuple(RULES)), FIXED] = "pareto"
    """Stopping rule: which trials go on at the rungs. ``fifo`` runs all to their end."""

    grace_period: Annotated[int | None, COUNT, FIXED] = None
    """Epochs to the first rung; a ninth of a trial if not given."""

    reduction_factor: Annotated[float, ABOVE_ONE, FIXED] = 3
    """Ratio of the epochs of two rungs."""

    seed: Annotated[int, COUNT_OR_ZERO, FIXED] = 0
    """Of the searcher. With the searches' own seed it fixes the front of a sweep that runs one
    trial at a time; at any number, if the rule is ``fifo`` and the searcher a sampler."""

    resume: Annotated[bool, FLAG] = False
    """Go on with the experiment of that name; all that is asked for must be the same. Finished
    trials stay, stopped ones stay stopped, failed ones are tried again."""

    checkpoint_every: Annotated[int, COUNT] = 1
    """Epochs between checkpoints; there is always one at the end, and after an epoch in which Ray
    was told that the trial's machine will go."""

    keep_checkpoints: Annotated[int | None, COUNT] = None
    """The last ones that are kept for each trial; all if not given."""

    max_failures: Annotated[int, COUNT_OR_ZERO] = 1
    """How often a trial whose process or machine died is tried again from its last checkpoint. A
    machine that Ray was told would go does not count."""

    address: Annotated[str | None, TEXT] = None
    """Of a Ray cluster; a local one is started if not given."""

    machines: Annotated[int, COUNT] = 1
    """Machines of the cluster, the head among them, to wait for before anything is counted."""

    progress: Annotated[bool, FLAG] = True
    """Write lines to standard error."""

    def __post_init__(self) -> None:
        check_fields(self)
        gpus = self.gpus_per_trial
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"gpus_per_trial must be whole above 1, got {gpus}")
