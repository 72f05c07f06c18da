"""What a scheduler reads of a result: names that are not there, values that are no numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from stub_trials import Never, scheduler, told, trial

from snas_tune.stopping import RULES

NAN = math.nan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"metrics": ["child_acuracy", "flops"], "modes": ["max", "min"]},
            "metric must be the name of a result, got 'child_acuracy'; perhaps "
            "child_accuracy; there are child_accuracy, "
            "epoch, flops",
        ),
        (
            {"time_attr": "epochs"},
            "time_attr must be the name of a result, got 'epochs'; perhaps epoch; there are "
            "child_accuracy, epoch, flops",
        ),
    ],
)
def test_a_name_that_no_trial_reports_is_named_at_the_first_result(changes, message, monkeypatch):
    to = scheduler(**changes)
    with pytest.raises(ValueError, match=f"^{message}$"):
        told(to, trial(0), 1, 0.5, 5, trial_id="x", **{"config/niche": 1})
    to = scheduler(**changes)  # a trial of one result is only told of as complete
    to.on_trial_complete(None, trial(0), {"epoch": 1, "child_accuracy": 1, "flops": 1, "done": 1})
    with pytest.raises(ValueError, match=f"^{message}$"):
        to.choose_trial_to_run(None)
    monkeypatch.setenv("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
    assert told(scheduler(**changes), trial(0), 1, 0.5, 5) == "CONTINUE"


def test_names_that_tune_adds_are_not_listed():
    tunes = {"time_since_restore": 1, "checkpoint_dir_name": None, "training_iteration": 1}
    to = scheduler(time_attr="nothing")
    with pytest.raises(ValueError, match=r"; there are child_accuracy, credit/a, epoch, flops$"):
        told(to, trial(0), 1, 0.5, 5, **tunes, **{"credit/a": 1.0})


def test_a_name_that_later_results_leave_out_is_no_mistake():
    to = scheduler(rule=Never())
    assert to.on_trial_result(None, trial(0), {"trial_id": "x", "done": True}) == "CONTINUE"
    assert told(to, trial(0), 1, NAN, 5) == "CONTINUE"
    assert to.on_trial_result(None, trial(1), {"epoch": 1, "flops": 1}) == "CONTINUE"


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize("rule", RULES)
def test_a_trial_that_diverged_is_stopped_at_the_first_rung_by_every_rule_that_stops(rule, value):
    to = scheduler(rule=rule)
    for i in range(3):
        told(to, trial(i), 3, 0.5 + i / 10, 5)
    for epoch in (1, 2):
        assert told(to, trial(9), epoch, value, 0) == "CONTINUE"
    assert told(to, trial(9), 3, value, 0) == ("CONTINUE" if rule == "fifo" else "STOP")


def test_a_result_may_have_keys_that_are_no_texts():
    with pytest.raises(ValueError, match=r"^metric must be .*; there are 3, epoch, flops$"):
        scheduler().on_trial_result(None, trial(0), {"epoch": 1, "flops": 5, 3: 1})


@pytest.mark.filterwarnings("error")
def test_a_tensor_with_a_gradient_is_a_number():
    to = scheduler()
    told(to, trial(0), 3, torch.tensor(0.5, requires_grad=True), torch.tensor(5.0).requires_grad_())
    assert [line["costs"] for line in to.judge.lines] == [[-0.5, 5.0]]


NUMBERS = [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2)]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: type(value).__name__)
def test_numbers_of_other_libraries_are_numbers(value):
    to = scheduler()
    told(to, trial(0), torch.tensor(3), value, np.int64(5))
    assert [line["costs"] for line in to.judge.lines] == [[-0.5, 5.0]]


@pytest.mark.parametrize("name", ["child_accuracy", "epoch"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0.5", "'0.5'"),
        ([0.5], r"\[0.5\]"),
        (np.array([0.5]), r"array\(\[0.5\]\)"),
        (True, "True"),
        (1j, "1j"),
        (10**400, "1000.*"),
        (10**5000, "<a whole number of 16610 bits>"),
        (np.True_, r"(np\.)?True_?"),
        (torch.tensor(True), r"tensor\(True\)"),
        (np.str_("0.5"), r"(np\.str_\()?'0\.5'\)?"),
        (np.complex64(1j), ".*1j.*"),
        (torch.tensor(0.5, device="meta"), r"tensor\(\.\.\., device='meta', size=\(\)\)"),
    ],
    ids=lambda value: repr(value)[:9] if not isinstance(value, int) else "int",
)
def test_a_value_that_is_no_number_is_named_with_its_trial(name, value, shown):
    result = {"epoch": 3, "child_accuracy": 0.5, "flops": 5, name: value}
    message = rf"^{name} of trial x_id3 must be a number, got {shown}$"
    with pytest.raises(ValueError, match=message):
        scheduler().on_trial_result(None, trial(3), result)
    to = scheduler()
    to.on_trial_complete(None, trial(3), {**result, "done": True})
    with pytest.raises(ValueError, match=message):
        to.choose_trial_to_run(None)


def test_an_infinite_time_is_refused():
    with pytest.raises(ValueError, match=r"^epoch of trial x_id3 must be finite, got inf$"):
        told(scheduler(), trial(3), math.inf, 0.5, 5)
