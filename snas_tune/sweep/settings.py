"""SweepSettings: everything that is asked of a sweep besides its search space."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """How a sweep runs. The command line, ``run_sweep``, ``make_tuner`` and a resume read this."""

    name: str
    """Of the experiment: its directory in the storage. A new one, unless ``resume``."""

    storage_path: str = "results"
    """A folder, or a URI such as ``s3://bucket/sweeps``. On a cluster every machine must reach it,
    which is tried out first: each reads what another wrote."""

    trials: int = 16
    """Searches in all."""

    concurrent: int | None = None
    """Searches at a time; as many as the CPUs and GPUs allow if not given."""

    cpus_per_trial: float = 1
    """Cores of a trial; torch uses as many threads."""

    gpus_per_trial: float = 0
    """GPUs of a trial; a fraction lets several trials share one."""

    searcher: str = "pareto"
    """``pareto`` proposes where the front is thin; ``tpe``, ``nsga2``, ``gp`` and ``random`` are
    Optuna's samplers alone. The first trials are spread evenly."""

    rule: str = "pareto"
    """Stopping rule: which trials go on at the rungs. ``fifo`` runs all to their end."""

    grace_period: int | None = None
    """Epochs to the first rung; a ninth of a trial if not given."""

    reduction_factor: float = 3
    """Ratio of the epochs of two rungs."""

    seed: int = 0
    """Of the searcher. With the searches' own seed it fixes the front of a sweep that runs one
    trial at a time; at any number, if the rule is ``fifo`` and the searcher a sampler."""

    resume: bool = False
    """Go on with the experiment of that name; all that is asked for must be the same. Finished
    trials stay, stopped ones stay stopped, failed ones are tried again."""

    checkpoint_every: int = 1
    """Epochs between checkpoints; there is always one at the end, and after an epoch in which Ray
    was told that the trial's machine will go."""

    keep_checkpoints: int | None = None
    """The last ones that are kept for each trial; all if not given."""

    max_failures: int = 1
    """How often a trial whose process or machine died is tried again from its last checkpoint. A
    machine that Ray was told would go does not count."""

    address: str | None = None
    """Of a Ray cluster; a local one is started if not given."""

    machines: int = 1
    """Machines of the cluster, the head among them, to wait for before anything is counted."""

    progress: bool = True
    """Write lines to standard error."""
