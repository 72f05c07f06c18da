"""ParetoScheduler under a real Ray Tune, with a trainable that knows nothing of SNAS."""

from __future__ import annotations

import json
import sys

import pytest
import ray
from ray import tune

from snas_tune import ParetoScheduler
from snas_tune.sweep import quiet_ray

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

EPOCHS = 9


class Curve(tune.Trainable):
    """An error that falls with time, at a cost that is known from the start."""

    def setup(self, config):
        self.epoch = 0

    def step(self):
        self.epoch += 1
        error, cost = self.config["point"]
        end = self.epoch == EPOCHS
        return {"error": error + 1 / (1 + self.epoch), "gain": -cost, "done": end}

    def save_checkpoint(self, checkpoint_dir):
        return {"epoch": self.epoch}

    def load_checkpoint(self, checkpoint):
        self.epoch = checkpoint["epoch"]


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    quiet_ray(cpus=1)
    here = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(here)  # workers cannot import the tests
    yield
    ray.cloudpickle.unregister_pickle_by_value(here)
    ray.shutdown()


def scheduler():
    return ParetoScheduler(
        ["error", "gain"], ["min", "max"], max_t=EPOCHS, grace_period=1, rule="mo-asha"
    )


POINTS = [
    (0.1, 3.0),
    (0.5, 1.0),
    (0.5, 4.0),
    (0.9, 3.5),
    (0.05, 9.0),
    (0.9, 9.5),
    (0.8, 0.1),
    (0.95, 9.9),
    (0.97, 9.95),
]
SPACE = {"point": tune.grid_search(POINTS)}


def ended(trials):
    return {tuple(t.config["point"]): t.last_result["training_iteration"] for t in trials}


def journal(path):
    rows = (path / "scheduler/journal-000000.jsonl").read_text().splitlines()
    return [json.loads(row) for row in rows[1:]]


def test_tune_run_stops_dominated_trials_and_a_resume_leaves_them_stopped(tmp_path):
    common = {"name": "run", "storage_path": str(tmp_path), "config": SPACE, "verbose": 0}
    first = tune.run(Curve, scheduler=scheduler(), **common)
    epochs = ended(first.trials)
    assert epochs[0.1, 3.0] == EPOCHS  # the first one
    assert epochs[0.05, 9.0] == EPOCHS  # the most accurate one
    assert epochs[0.97, 9.95] == 1  # behind in both
    assert sum(count < EPOCHS for count in epochs.values()) >= 4
    lines = journal(tmp_path / "run")
    stopped = {line["trial"] for line in lines if not line["goes_on"]}
    assert len(stopped) == sum(count < EPOCHS for count in epochs.values())
    again = tune.run(Curve, scheduler=scheduler(), resume=True, **common)
    assert ended(again.trials) == epochs
    assert journal(tmp_path / "run") == lines


def test_a_restored_tuner_knows_what_was_decided(tmp_path):
    tuner = tune.Tuner(
        Curve,
        param_space=SPACE,
        tune_config=tune.TuneConfig(scheduler=scheduler()),
        run_config=tune.RunConfig(name="tuner", storage_path=str(tmp_path), verbose=0),
    )
    epochs = ended(tuner.fit()._experiment_analysis.trials)
    lines = journal(tmp_path / "tuner")
    restored = tune.Tuner.restore(str(tmp_path / "tuner"), Curve, restart_errored=True)
    assert ended(restored.fit()._experiment_analysis.trials) == epochs
    known = restored._local_tuner._tune_config.scheduler.judge
    assert known.lines == lines
