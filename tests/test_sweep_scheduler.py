"""The Tune scheduler over judge and journal."""

from __future__ import annotations

import math
import pickle

import pyarrow.fs
import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from snas_tune.config import SearchConfig
from snas_tune.sweep.scheduler import ParetoScheduler, make_scheduler, trial_key

NAN = math.nan


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


def test_a_trial_keeps_its_key_and_another_config_is_another_trial():
    first, again, other = trial(3), trial(3), trial(3)
    again.trial_id = "drawn anew"
    first.evaluated_params = again.evaluated_params = {"b": 1, "a": 0.5}
    other.evaluated_params = {"a": 0.25, "b": 1}
    assert trial_key(first) == trial_key(again) != trial_key(other)
    assert trial_key(trial(4)) != trial_key(trial(3))
    unnumbered = trial(5)
    unnumbered.experiment_tag = ""
    assert trial_key(unnumbered) == "id5"


def scheduler(**changes):
    arguments = {"time_attr": "epoch", "max_t": 27, "grace_period": 3, "rule": "asha", **changes}
    return ParetoScheduler(**arguments)


def told(to, who, epoch, accuracy, flops, **more):
    result = {"epoch": epoch, "child_accuracy": accuracy, "flops": flops, **more}
    return to.on_trial_result(None, who, result)


def test_the_scheduler_maximises_accuracy_and_minimises_flops():
    for rule, good, bad in (("asha", (0.9, 9), (0.1, 1)), ("asha-cost", (0.1, 1), (0.9, 9))):
        to = scheduler(rule=rule)
        for i in range(4):
            told(to, trial(i), 3, 0.5, 5)
        assert told(to, trial(8), 3, *good) == TrialScheduler.CONTINUE
        assert told(to, trial(9), 3, *bad) == TrialScheduler.STOP


def test_results_without_time_or_objectives_change_nothing():
    to = scheduler(rule=Never())
    assert to.on_trial_result(None, trial(0), {"child_accuracy": 1, "flops": 1}) == "CONTINUE"
    assert to.on_trial_result(None, trial(0), {"epoch": 3, "flops": 1}) == "CONTINUE"
    assert told(to, trial(0), 3, 1, 1) == "STOP"


def test_an_interrupted_trial_has_not_ended_and_a_done_one_has():
    to = scheduler()
    ending = {"epoch": 20, "child_accuracy": 0.5, "flops": 5}
    to.on_trial_complete(None, trial(0), {**ending, "done": False})
    to.on_trial_complete(None, trial(1), {**ending, "done": True})
    assert [place[:2] for place in to.judge.history.rungs[-1].places] == ["1-"]


def test_a_resumed_experiment_goes_on_and_a_new_one_starts_anew(tmp_path):
    first = scheduler()
    first.on_trial_add(None, trial(0, storage=Storage(tmp_path)))
    answers = [told(first, trial(i), 3, 0.5 + i / 100, 5) for i in (3, 2, 1, 4)]
    assert answers == ["CONTINUE", "STOP", "STOP", "CONTINUE"]
    resumed = scheduler()
    resumed.on_trial_add(None, trial(7, storage=Storage(tmp_path)))
    resumed.on_trial_add(None, trial(8, storage=Storage(tmp_path)))
    assert resumed.judge.lines == first.judge.lines
    # The same trial under a new identifier, as Tune had not saved it before it was killed.
    again = trial(2)
    again.trial_id = "another"
    assert told(resumed, again, 3, 0.99, 5) == "STOP"
    unpickled = pickle.loads(pickle.dumps(first))  # as Tuner.restore has it: from the start
    told(first, trial(5), 3, 0.4, 5)
    unpickled.on_trial_add(None, trial(9, storage=Storage(tmp_path)))
    assert unpickled.judge.lines == first.judge.lines
    new = scheduler()
    new.on_trial_add(None, trial(0, storage=Storage(tmp_path, "2027")))
    assert new.judge.lines == []
    other = scheduler(grace_period=1)  # decides otherwise, so what was decided says nothing
    other.on_trial_add(None, trial(0, storage=Storage(tmp_path)))
    assert other.judge.lines == []


def test_a_decision_stands_when_the_storage_is_away(tmp_path, capsys):
    to = scheduler(rule=Never())
    to.on_trial_add(None, trial(0, storage=Storage(tmp_path)))
    (tmp_path / "scheduler").write_text("in the way")
    assert told(to, trial(1), 3, 0.5, 5) == "STOP"
    assert told(to, trial(2), 3, 0.5, 5) == "STOP"
    said = capsys.readouterr().err
    assert said.count("the journal waits for its storage") == 1
    (tmp_path / "scheduler").unlink()
    told(to, trial(3), 3, 0.5, 5)
    later = scheduler(rule=Never())
    later.on_trial_add(None, trial(9, storage=Storage(tmp_path)))
    assert len(later.judge.lines) == 3


def test_it_can_be_saved_as_tune_would_and_pickled(tmp_path):
    to = scheduler()
    for i in range(5):
        told(to, trial(i), 3, 1 - i / 5, 5)
    to.save(str(tmp_path / "saved"))
    other = scheduler()
    other.restore(str(tmp_path / "saved"))
    assert other.judge.lines == to.judge.lines
    assert pickle.loads(pickle.dumps(to)).judge.lines == to.judge.lines
    assert "3: 5 (4 stopped), 9: 0 (0 stopped)" in to.debug_string()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["a"]}, r"metrics must be two or more different names, got \['a'\]"),
        ({"metrics": ["a", "a"]}, "metrics must be two or more different names"),
        ({"metrics": "ab"}, "metrics must be two or more different names, got 'ab'"),
        ({"modes": ["max", "least"]}, "modes must be max or min for each of 2 metrics"),
        ({"modes": ["max"]}, "modes must be max or min for each of 2 metrics"),
        ({"grace_period": 0}, "grace_period must be positive, got 0"),
        ({"rule": "x"}, "rule must be one of"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        scheduler(**changes)


def test_three_objectives_are_as_good_as_two():
    to = ParetoScheduler(["a", "b", "c"], ["min", "min", "max"], max_t=4, rule="mo-asha")
    for i in range(6):
        result = {"training_iteration": 1, "a": i, "b": i, "c": -i}
        answer = to.on_trial_result(None, trial(i), result)
        assert answer == ("CONTINUE" if i == 0 else "STOP")


def test_tunes_own_metric_and_mode_are_refused():
    to = scheduler()
    assert to.set_search_properties(None, None)
    assert not to.set_search_properties("accuracy", "max")


def test_a_sweeps_scheduler_has_its_rungs_where_the_child_is_evaluated():
    made = make_scheduler(SearchConfig(epochs=27))
    assert made.judge.levels == (3, 9, 27)
    assert make_scheduler(SearchConfig(epochs=12)).judge.levels == (2, 6, 12)
    assert make_scheduler(SearchConfig(epochs=1)).judge.levels == (1,)
    make_scheduler(SearchConfig(epochs=27, child_every=3))
    with pytest.raises(
        ValueError, match="child_every must divide the epochs of the rungs 3, 9, got 2"
    ):
        make_scheduler(SearchConfig(epochs=27, child_every=2))
