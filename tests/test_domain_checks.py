"""Every member of every domain is checked before any trial."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import TINY
from ray import tune

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.setting_checks import BUILT_IN_OPS, DARTS_OPS
from snas_tune.space.cell.ops import OPS
from snas_tune.sweep import sweep_space
from snas_tune.sweep.domain_checks import check_images, check_importable, check_space
from snas_tune.sweep.prepare import check_settings, check_sweep


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        ({"epochs": tune.choice([])}, "epochs must be a value, tune.choice with an option"),
        ({"epochs": tune.choice([2, 0, 4])}, "epochs must be a positive whole number, got 0"),
        ({"epochs": tune.choice([2, 4, "5"])}, "epochs must be a positive whole number, got '5'"),
        ({"epochs": tune.randint(3, 3)}, "epochs must be a value, .* from 3 to 3"),
        ({"epochs": tune.randint(9, 3)}, "epochs must be a value, .* from 9 to 3"),
        ({"epochs": tune.randint(0, 3)}, "epochs must be a positive whole number, got 0"),
        ({"epochs": tune.randint(1, 10**7)}, "epochs must be at most 1000000, got 9999999"),
        ({"epochs": tune.qrandint(1, 4, 0)}, "epochs must be a value, .* got Integer from 1 to 4"),
        ({"epochs": tune.uniform(1, 3)}, None),
        ({"drop_path": tune.uniform(0.5, 0.1)}, "drop_path must be .* lower one first, got Float"),
        ({"drop_path": tune.uniform(0.0, 1.0)}, "drop_path must be at least 0 and below 1, got 1"),
        ({"drop_path": tune.quniform(0.0, 1.5, 0.5)}, "drop_path must be .*, got 1.5"),
        ({"drop_path": tune.uniform(0, 10**400)}, "drop_path must be a value, .* got Float from 0"),
        ({"drop_path": tune.randn()}, "drop_path must be a value, tune.choice .*, got Float"),
        ({"drop_path": tune.sample_from(lambda: 0)}, "drop_path must be a value, .* got Function"),
        ({"epochs": tune.grid_search([1, 2])}, "epochs must be a value, .* inside another value"),
        (
            {"penalty_costs": {"flops": tune.uniform(0, 1)}},
            "penalty_costs must be a value, .* inside another value",
        ),
        ({"epochs": tune.choice([tune.choice([1])])}, "epochs must be a value, tune.choice with"),
        ({"device": tune.choice(["cpu", "tpu"])}, "device must be auto, or one of cpu, .* 'tpu'"),
        ({"ops": tune.choice([DARTS_OPS, ("none", "warp")])}, "op must be one of .*, got 'warp'"),
        ({"epoch": tune.choice([1])}, r"unknown settings \['epoch'\]"),
        (
            {
                "temperature_start": tune.uniform(0.5, 1.0),
                "temperature_end": tune.uniform(0.1, 0.7),
            },
            r"temperature_end must be at most temperature_start, which is 0\.5, got 0\.7 "
            r"\(the search space has temperature_end 0.7\)",
        ),
        (
            {"channels": tune.choice([8, 12, 6]), "partial_channels": tune.choice([1, 2, 4])},
            "channels must be a multiple of partial_channels, which is 4, got 6",
        ),
        ({"weights_learning_rate": tune.loguniform(1e-4, 1e-1)}, "weights_learning_rate_end must"),
        ({1: 2}, "space must be values by name, got {"),
    ],
    ids=lambda each: "" if isinstance(each, str) else next(iter(each or "-")),
)
def test_a_member_that_no_trial_could_have_is_refused_in_one_line(domains, message):
    if message is None:
        message = "epochs must be a positive whole number, got"
        domains = {"epochs": tune.uniform(1.5, 3.5)}
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        check_space({**TINY, **domains})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_members_of_domains_that_keep_all_rules_are_taken():
    space = {
        **TINY,
        "epochs": tune.choice([2, 3, 5]),
        "cells": tune.randint(3, 6),
        "batch_size": tune.qrandint(4, 16, 4),
        "penalty_strength": tune.loguniform(0.1, 1.0),
        "temperature_schedule": tune.choice(["linear", "constant"]),
        "drop_path": tune.quniform(0.0, 0.5, 0.25),
        "target_flops": tune.choice([None, 5e5]),
    }
    configs = check_space(space)
    assert {c.epochs for c in configs} == {2, 3, 5}
    assert {c.cells for c in configs} == {3, 5}
    assert {c.batch_size for c in configs} == {4, 16}
    assert {c.drop_path for c in configs} == {0.0, 0.5}


def test_a_temperature_that_would_rise_is_refused_but_not_where_it_is_ignored():
    with pytest.raises(ValueError, match="temperature_end must be at most temperature_start, whi"):
        SearchConfig(temperature_start=0.5, temperature_end=0.6)
    SearchConfig(temperature_start=0.5, temperature_end=0.6, temperature_schedule="constant")
    with pytest.raises(ValueError, match=r"temperature_end must be at most .* got 0\.8"):
        sweep_space(temperature_start=(0.7, 1.5), temperature_end=(0.03, 0.8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": tune.choice([8, 100_000])}, r"batch_size must be at most the \d+ training"),
        ({"limit_images": tune.choice([None, 2])}, "limit_images must be at least 20, .* got 2"),
        ({"limit_images": 2}, "limit_images must be at least 20, .* got 2"),
        ({"batch_size": 5000}, r"batch_size must be at most the \d+ training images, got 5000"),
    ],
    ids=["batch of a choice", "limit of a choice", "limit", "batch"],
)
def test_what_does_not_fit_the_images_is_refused_before_any_trial(changes, message):
    with pytest.raises(ValueError, match=message):
        check_sweep({**sweep_space(**TINY), **changes})


def test_every_member_is_held_against_the_images():
    labels = np.repeat(np.arange(2), 10)
    images = ImageSet(np.zeros((20, 1, 8, 8), np.uint8), labels, ("a", "b"))
    good, large = SearchConfig(batch_size=16), SearchConfig(batch_size=17)
    check_images([good], images)
    with pytest.raises(
        ValueError, match="batch_size must be at most the 16 training images, got 1"
    ):
        check_images([good, large], images)
    most = SearchConfig(batch_size=3, validation_fraction=0.9999)
    with pytest.raises(ValueError, match="batch_size must be at most the 2 training images, got 3"):
        check_images([most], images)


@pytest.mark.parametrize("name", ["data", "space", "method", "ops_module"])
def test_what_only_this_process_can_import_is_refused_for_trials(name):
    value = "__main__" if name == "ops_module" else "__main__:f"
    with pytest.raises(ValueError, match=f"^{name} must name a module that .*, got '__main__"):
        check_settings(sweep_space(**{**TINY, name: value}))
    check_importable([SearchConfig()])


def test_a_latency_table_of_any_member_must_be_there_before_ray_starts(tmp_path):
    space = {**sweep_space(**TINY), "latency_table": tune.choice([None, str(tmp_path / "t.json")])}
    with pytest.raises(ValueError, match=r"^latency table .*t.json cannot be read"):
        check_settings(space)


def test_a_schedule_may_be_given_as_a_text():
    assert sweep_space(schedules="cosine")["temperature_schedule"] == "cosine"
    for wrong in (None, 3, [], {}, ["linear", 3], ["linear", None], "steps"):
        with pytest.raises(ValueError, match=r"^(schedules|temperature_schedule) must be ") as e:
            sweep_space(schedules=wrong)
        assert re.search(r", got (?!'s')", str(e.value))


def test_the_names_of_built_in_ops_are_those_of_the_table():
    assert set(BUILT_IN_OPS) == set(OPS)
