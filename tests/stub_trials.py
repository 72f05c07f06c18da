"""A scheduler and trials as Tune has them, without Tune."""

from __future__ import annotations

import pyarrow.fs
from ray.tune.experiment import Trial

from snas_tune.sweep.scheduler import ParetoScheduler


class Never:
    """Stops every trial."""

    def __call__(self, history, report):
        return False


class Storage:
    """The parts of Tune's storage that the scheduler reads."""

    def __init__(self, path, stamp="2026"):
        self.experiment_fs_path = str(path)
        self.storage_filesystem = pyarrow.fs.LocalFileSystem()
        self._timestamp = stamp


def trial(number, strength=1.0, storage=None):
    made = Trial("x", config={"penalty_strength": strength}, stub=True, trial_id=f"id{number}")
    made.experiment_tag = f"{number}_tag"
    made.storage = storage
    return made


def scheduler(**changes):
    arguments = {"time_attr": "epoch", "max_t": 27, "grace_period": 3, "rule": "asha", **changes}
    return ParetoScheduler(**arguments)


def told(to, who, epoch, accuracy, flops, **more):
    result = {"epoch": epoch, "child_accuracy": accuracy, "flops": flops, **more}
    return to.on_trial_result(None, who, result)
