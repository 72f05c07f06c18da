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
    SEED,
    Check,
    at_most,
    check_fields,
    choice,
    is_count,
)
from snas_tune.documents import documented
from snas_tune.setting_checks import MOST_STEPS
from snas_tune.text_checks import ADDRESS, DIRECTORY, STORAGE

SEARCHERS = ("pareto", "tpe", "nsga2", "gp", "random")
"""Names that :func:`snas_tune.sweep.searcher.make_searcher` knows: a searcher of this package, and
Optuna's samplers."""

RULES = (
    "pareto",
    "lag-corrected",
    "hopeless",
    "mo-asha",
    "asha",
    "asha-cost",
    "asha-scalar",
    "fifo",
)
"""Keys of :data:`snas_tune.stopping.RULES`, here without what that imports, for the command."""

RECIPE = "sweep.yaml"
"""The name of the sweep file that the command writes into an experiment's directory."""

FIXED = "fixed"
"""Marks the settings that a resume must ask for again as they were."""

OPEN = "open"
"""Marks the settings that a sweep records, and that a resume may ask for otherwise."""

FRONT, ALL = "front", "all"
"""Which checkpoints are kept, besides a number."""

MOST_TRIALS = 10**6
MOST_CORES = 4096
MOST_MACHINES = 10**5

KEPT = Check(
    lambda value: (
        value in (FRONT, ALL)
        if isinstance(value, str)
        else is_count(value, 1) and value <= MOST_STEPS
    ),
    f"{FRONT}, {ALL} or a whole number from 1 to {MOST_STEPS}",
)


@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """How a sweep runs. The command line, ``run_sweep``, ``make_tuner`` and a resume read this.

    Raises:
        ValueError: a value breaks its field's rule; the message names the field and the value.
    """

    name: Annotated[str, DIRECTORY]
    """Name of the experiment and of its directory. It must be a new one, unless ``resume``."""

    storage_path: Annotated[str, STORAGE] = "results"
    """A folder, or a URI such as ``s3://bucket/sweeps``. On a cluster every machine must reach it,
    which is tried out first: each reads what another wrote."""

    trials: Annotated[int, COUNT, at_most(MOST_TRIALS), OPEN] = 16
    """Searches in all. A resume may ask for more, also after the end."""

    concurrent: Annotated[int | None, COUNT, at_most(MOST_TRIALS), OPEN] = None
    """Searches at a time; as many as the CPUs and GPUs allow if not given."""

    cpus_per_trial: Annotated[float, POSITIVE, at_most(MOST_CORES)] = 1
    """Cores of a trial; torch uses as many threads."""

    gpus_per_trial: Annotated[float, NOT_NEGATIVE, at_most(MOST_CORES)] = 0
    """GPUs of a trial; a fraction shares one. A half lets two trials share it."""

    searcher: Annotated[str, choice(SEARCHERS), FIXED] = "pareto"
    """``pareto`` (proposes where the front is thin), ``tpe``, ``nsga2``, ``gp`` or ``random``. The
    last four are Optuna's samplers alone. The first trials are spread evenly."""

    rule: Annotated[str, choice(RULES), FIXED] = "pareto"
    """Which trials go on at the rungs; ``fifo`` stops none. The others are keys of
    :data:`snas_tune.stopping.RULES`."""

    grace_period: Annotated[int | None, COUNT, at_most(MOST_STEPS), FIXED] = None
    """Epochs to the first rung; a ninth of a trial if not given."""

    reduction_factor: Annotated[float, ABOVE_ONE, FIXED] = 3
    """Ratio of the epochs of two rungs."""

    seed: Annotated[int, SEED, FIXED] = 0
    """Of the searcher. With the searches' own seed it fixes the front of a sweep that runs one
    trial at a time; at any number, if the rule is ``fifo`` and the searcher a sampler."""

    resume: Annotated[bool, FLAG] = False
    """Go on with the experiment of that name. Finished trials stay, stopped ones stay stopped,
    failed ones are tried again. The space, the searcher, the rule and the seed must be the same;
    the number of trials, ``concurrent``, resources, checkpoints and retries may be others."""

    checkpoint_every: Annotated[int, COUNT, at_most(MOST_STEPS)] = 1
    """Epochs between checkpoints. There is always one at the end, and after an epoch in which Ray
    was told that the trial's machine will go."""

    keep_checkpoints: Annotated[int | str, KEPT] = FRONT
    """Those of the ``front``, ``all``, or the newest N of each trial. With ``front`` a trial that
    runs keeps its two newest ones as well."""

    max_failures: Annotated[int, COUNT_OR_ZERO, at_most(MOST_TRIALS)] = 1
    """Retries of a trial whose process or machine died. It goes on from its last checkpoint. A
    machine that Ray was told would go does not count."""

    address: Annotated[str | None, ADDRESS] = None
    """Address of a Ray cluster; a local one is started if not given."""

    machines: Annotated[int, COUNT, at_most(MOST_MACHINES)] = 1
    """Machines to wait for, the head among them. Only then is it counted how many trials fit."""

    progress: Annotated[bool, FLAG] = True
    """Write lines to standard error."""

    def __post_init__(self) -> None:
        check_fields(self)
        gpus = self.gpus_per_trial
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"gpus_per_trial must be whole above 1, got {gpus}")
