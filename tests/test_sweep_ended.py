"""The line of a resume that finds nothing left to do."""

from __future__ import annotations

from dataclasses import replace

from snas_tune.front import ParetoFront
from snas_tune.front.table import SCHEMA
from snas_tune.sweep.ray_watch import Pulse
from snas_tune.sweep.result import SweepResult, ended_line


def test_a_resume_of_a_finished_sweep_says_so():
    result = SweepResult("/x", ParetoFront(SCHEMA.empty_table()), {}, trials=3, ended=3)
    assert ended_line(result, heard=False) == (
        "all 3 trials had ended and nothing was run: ask for more with --trials (trials=...)"
    )
    assert ended_line(result, heard=True) == ""
    assert ended_line(replace(result, ended=2), heard=False) == ""
    assert ended_line(replace(result, failed={"a": "no"}), heard=False) == ""


def test_the_pulse_knows_whether_a_result_came():
    pulse = Pulse()
    assert not pulse.heard
    pulse.on_trial_result(1, [], None, {})
    assert pulse.heard
