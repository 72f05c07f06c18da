"""ParetoScheduler under a real Ray Tune, with a trainable that knows nothing of SNAS."""

from __future__ import annotations

import gc
import json
import signal
import sys

import pytest
import ray
from ray import tune
from ray.tune import TuneError

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

    def reset_config(self, new_config):
        self.epoch = 0
        return True


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    quiet_ray(cpus=1)
    here = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(here)  # workers cannot import the tests
    yield
    ray.cloudpickle.unregister_pickle_by_value(here)
    ray.shutdown()


@pytest.fixture(autouse=True)
def closed_files():
    """Tune leaves its loggers' files to the collector when an error ends a sweep."""
    yield
    gc.collect()


def scheduler(metrics=("error", "gain"), rule="mo-asha"):
    return ParetoScheduler(metrics, ["min", "max"], max_t=EPOCHS, grace_period=1, rule=rule)


POINTS = [(0.1, 3.0), (0.5, 4.0), (0.9, 3.5), (0.05, 9.0), (0.97, 9.95)]
SPACE = {"point": tune.grid_search(POINTS)}


def ended(trials):
    return {tuple(t.config["point"]): t.last_result["training_iteration"] for t in trials}


def journal(path):
    rows = (path / "scheduler/journal-000000.jsonl").read_text().splitlines()
    lines = [json.loads(row) for row in rows[1:]]
    return [{key: value for key, value in line.items() if key != "crc"} for line in lines]


def test_tune_run_stops_dominated_trials_and_a_resume_leaves_them_stopped(tmp_path):
    common = {"name": "run", "storage_path": str(tmp_path), "config": SPACE, "verbose": 0}
    common |= {"reuse_actors": True, "metric": "gain", "mode": "max"}  # one of the objectives
    first = tune.run(Curve, scheduler=scheduler(), **common)
    epochs = ended(first.trials)
    assert epochs[0.1, 3.0] == EPOCHS  # the first one
    assert epochs[0.05, 9.0] == EPOCHS  # the most accurate one
    assert epochs[0.97, 9.95] == 1  # behind in both
    assert sum(count < EPOCHS for count in epochs.values()) == 3
    lines = journal(tmp_path / "run")
    stopped = {line["trial"] for line in lines if not line["goes_on"]}
    assert len(stopped) == sum(count < EPOCHS for count in epochs.values())
    again = tune.run(Curve, scheduler=scheduler(), resume=True, **common)
    assert ended(again.trials) == epochs
    assert journal(tmp_path / "run") == lines
    with pytest.raises(TuneError, match="ValueError: metric must be the name of a result, got 'e'"):
        tune.run(Curve, scheduler=scheduler(metrics=["e", "gain"]), **{**common, "name": "wrong"})


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["other", "newer", "tail"])
def test_a_sweep_that_cannot_go_on_as_it_was_loses_nothing(tmp_path, damage):
    common = {"name": "run", "storage_path": str(tmp_path), "config": SPACE, "verbose": 0}
    stop = {"reuse_actors": True, "callbacks": [Interrupt()]}
    tune.run(Curve, scheduler=scheduler(), **stop, **common)
    file = tmp_path / "run/scheduler/journal-000000.jsonl"
    before = trials_of(tmp_path / "run")
    if damage == "newer":
        file.write_text('{"format": 9}\n')
    elif damage == "tail":
        file.write_bytes(file.read_bytes() + b"\0" * 50 + b"\n")
    content = file.read_bytes()
    changes = {"rule": "pareto"} if damage == "other" else {}
    if damage != "tail":
        with pytest.raises(ValueError, match=r"^journal .* must be that of the sweep to go on"):
            tune.run(Curve, scheduler=scheduler(**changes), resume=True, **common)
        assert trials_of(tmp_path / "run") == before
        assert file.read_bytes() == content
        return
    again = tune.run(Curve, scheduler=scheduler(), resume=True, **common)
    assert len(again.trials) == len(POINTS)
    assert file.with_name(f"{file.name}.damaged").read_bytes() == content


class Interrupt(tune.Callback):
    """Ctrl-C at the twelfth result."""

    seen = 0

    def on_trial_result(self, **info):
        self.seen += 1
        if self.seen == 12:
            signal.raise_signal(signal.SIGINT)


def trials_of(path):
    """The trials in Tune's newest state."""
    state = max(path.glob("experiment_state-*.json"))
    return sorted(
        json.loads(trial)["trial_id"] for trial, _ in json.loads(state.read_text())["trial_data"]
    )


@pytest.mark.slow
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
