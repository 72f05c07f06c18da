"""The Tune scheduler over judge and journal."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest
import torch
from ray.tune.schedulers import TrialScheduler
from stub_trials import Never, Storage, scheduler, told, trial

from snas_tune.config import SearchConfig
from snas_tune.sweep.scheduler import ParetoScheduler, make_scheduler, trial_key

NAN = math.nan


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


def test_the_scheduler_maximises_accuracy_and_minimises_flops():
    for rule, good, bad in (("asha", (0.9, 9), (0.1, 1)), ("asha-cost", (0.1, 1), (0.9, 9))):
        to = scheduler(rule=rule)
        for i in range(4):
            told(to, trial(i), 3, 0.5, 5)
        assert told(to, trial(8), 3, *good) == TrialScheduler.CONTINUE
        assert told(to, trial(9), 3, *bad) == TrialScheduler.STOP


def test_results_without_time_or_objectives_change_nothing():
    to = scheduler(rule=Never())
    told(to, trial(1), 1, 1, 1)
    for odd in ({}, {"epoch": None}, {"epoch": NAN}):
        result = {"child_accuracy": 1, "flops": 1, **odd}
        assert to.on_trial_result(None, trial(0), result) == "CONTINUE"
    assert to.on_trial_result(None, trial(0), {"epoch": 3, "flops": 1}) == "CONTINUE"
    assert told(to, trial(0), 4, None, 1) == "CONTINUE"
    assert to.judge.lines == []
    assert told(to, trial(0), 5, 1, 1) == "STOP"


def test_an_interrupted_trial_has_not_ended_and_a_done_one_has():
    to = scheduler()
    ending = {"epoch": 27, "child_accuracy": 0.5, "flops": 5}
    to.on_trial_complete(None, trial(0), {**ending, "done": False})
    to.on_trial_complete(None, trial(1), {**ending, "done": True})
    to.on_trial_complete(None, trial(2), {**ending, "epoch": 20, "done": True})
    assert [place[:2] for place in to.judge.history.rungs[-1].places] == ["1-"]
    assert [line["time"] for line in to.judge.lines] == [27, 20]
    assert to.debug_string().endswith(
        "9: 1 (0 stopped), 27: 1 (0 stopped), 1 ended by themselves before"
    )


def test_it_can_be_saved_as_tune_would_and_pickled(tmp_path):
    to = scheduler()
    for i in range(5):
        told(to, trial(i), 3, 1 - i / 5, 5)
    to.save(str(tmp_path / "saved"))
    other = scheduler()
    other.restore(str(tmp_path / "saved"))
    assert other.judge.lines == to.judge.lines
    other.restore(str(tmp_path / "saved"))  # in place of what it knows
    assert other.judge.lines == to.judge.lines
    for content in (b"[{", b"5", b'[{"trial":"a"}]', b"\xff"):
        (tmp_path / "saved").write_bytes(content)
        with pytest.raises(ValueError, match=r"saved must be what a scheduler saved, got \S"):
            other.restore(str(tmp_path / "saved"))
        assert other.judge.lines == []
    assert pickle.loads(pickle.dumps(to)).judge.lines == to.judge.lines
    assert "3: 5 (4 stopped), 9: 0 (0 stopped)" in to.debug_string()


AB = {"metrics": ["a", "b"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["a"]}, r"metrics must be two or more different names, got \['a'\]"),
        ({"metrics": ["a", "a"]}, "metrics must be two or more different names"),
        ({"metrics": "ab"}, "metrics must be two or more different names, got 'ab'"),
        ({"metrics": [("a", "min"), ("b", "min")]}, "metrics must be two or more different names"),
        ({"metrics": ["a", ""]}, r"metrics must be two or more different names, got \['a', ''\]"),
        ({"metrics": 5}, "metrics must be two or more different names, got 5"),
        ({"modes": ["max", "min"]}, "metrics must be two or more different names, got None"),
        ({**AB, "modes": ["max", "least"]}, "modes must be max or min for each of 2 metrics"),
        ({**AB, "modes": ["max"]}, "modes must be max or min for each of 2 metrics"),
        (AB, "modes must be max or min for each of 2 metrics, got None"),
        (
            {"metrics": {"a": "min", "b": "least"}},
            "mode of an objective must be max or min, got 'least'",
        ),
        (
            {"metrics": {"a": "min", "b": "min"}, "modes": ["min", "min"]},
            "modes must be left out where metrics maps to them",
        ),
        ({"time_attr": 5}, "time_attr must be a text, got 5"),
        ({"niche": 5}, "niche must be a text, got 5"),
        ({"grace_period": 0}, "grace_period must be positive, got 0"),
        (
            {"reduction_factor": 1.0000001},
            "reduction_factor must give at most 100 rungs from 3 to 27, got 1.0000001",
        ),
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


def test_tunes_own_metric_and_mode_may_be_one_of_the_objectives():
    to = scheduler()
    for metric, mode in ((None, None), ("flops", "min"), ("child_accuracy", None)):
        assert to.set_search_properties(metric, mode)
    for metric, mode in (("accuracy", "max"), ("flops", "max"), (None, "max")):
        with pytest.raises(
            ValueError,
            match=rf"metric must be one of the objectives child_accuracy \(max\), flops \(min\), "
            rf"got {metric!r} \({mode!r}\)",
        ):
            to.set_search_properties(metric, mode)


def test_a_mapping_names_metrics_and_modes():
    to = ParetoScheduler({"loss": "min", "gain": "max"}, max_t=4)
    assert to.settings["metrics"] == ["loss", "gain"]
    assert to.settings["modes"] == ["min", "max"]
    assert to.settings == ParetoScheduler(["loss", "gain"], ["min", "max"], max_t=4).settings


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


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64, np.array, torch.tensor])
def test_numbers_of_other_libraries_are_pythons_in_the_journal(kind, tmp_path):
    given = {"max_t": kind(8), "grace_period": kind(2), "reduction_factor": kind(2)}
    to = scheduler(**given, time_attr=np.str_("epoch"))
    to.on_trial_add(None, trial(0, storage=Storage(tmp_path)))
    assert told(to, trial(0), 2, 0.5, 5) == TrialScheduler.CONTINUE
    assert to.judge.levels == (2, 4, 8)
    assert all(type(level) in (int, float) for level in to.judge.levels)
    same = scheduler(max_t=8, grace_period=2, reduction_factor=2)
    assert json.loads(json.dumps(to.settings)) == same.settings
    same.on_trial_add(None, trial(0, storage=Storage(tmp_path)))
    assert same.judge.lines == to.judge.lines != []


def test_a_file_that_cannot_be_read_or_written_gives_one_line(tmp_path):
    to = scheduler()
    with pytest.raises(
        ValueError, match=r"^.*/nowhere must be what a scheduler saved, got .*No su"
    ):
        to.restore(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"^.* must be what a scheduler saved, got .*directory"):
        to.restore(str(tmp_path))
    with pytest.raises(ValueError, match=r"^.* cannot be written: .*directory"):
        to.save(str(tmp_path))


@pytest.mark.parametrize(
    "modes",
    [np.array(["max", "min"]), [np.array(["max", "min"]), "min"], [["max"], "min"], [None, 1]],
    ids=repr,
)
def test_modes_that_are_none_give_one_line(modes):
    message = r"^modes must be max or min for each of 2 metrics, got [^\n]+$"
    with pytest.raises(ValueError, match=message):
        ParetoScheduler(["loss", "gain"], modes)
    with pytest.raises(ValueError, match=r"^mode of an objective must be max or min, got [^\n]+$"):
        ParetoScheduler({"loss": modes, "gain": "max"})
    with pytest.raises(ValueError, match=r"^metric must be one of the objectives [^\n]+$"):
        scheduler().set_search_properties("flops", modes)
    with pytest.raises(ValueError, match=r"^metric must be one of the objectives [^\n]+$"):
        scheduler().set_search_properties(modes, None)
