from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.setting_checks import COSTS
from snas_tune.values import shown

NAN, INF = math.nan, math.inf
NO_COUNT = (0, -1, 1.0, True, "3", NAN, [2])
NO_COUNT_OR_ZERO = (-1, 0.0, False, "3", NAN, [2])
NO_POSITIVE = (0, -1.0, NAN, INF, True, "1", [1])
NEGATIVE = (-1e-9, NAN, INF, -INF, True, "1", [1])
NO_SHARE = (-0.1, 1, 1.5, NAN, False, "0.5")
NO_FLAG = (0, 1, "true", [])
NO_TEXT = ("", 3, True, ["a"])
NO_CHOICE = ("", "other", 1, True, ["linear"], {})

# Of every field: the rule as its message says it, values that break it, and two that keep it.
FIELDS = {
    "space": ("a text", NO_TEXT, ("cell", "own_space:TowerSpace")),
    "method": ("a text", NO_TEXT, ("snas", "own_method:Reinforce")),
    "penalty_strength": ("0 or more", NEGATIVE, (0, 0.5)),
    "penalty_form": ("one of linear, log", NO_CHOICE, ("linear", "log")),
    "penalty_gradient": (
        "one of sample, expectation, score",
        NO_CHOICE,
        ("sample", "score"),
    ),
    "penalty_costs": (
        "weights",
        (
            3,
            "flops",
            ["flops"],
            {},
            {"flops": 0},
            {"flops": -1.0},
            {"flops": NAN},
            {"flops": True},
            {"flops": "1"},
        ),
        ({"flops": 1.0}, {"params": 0.5, "memory": 2}),
    ),
    "target_flops": ("positive", NO_POSITIVE, (None, 1e6)),
    "latency_table": ("a text", NO_TEXT, (None, "table.json")),
    "temperature_schedule": (
        "one of linear, exponential, cosine, constant",
        NO_CHOICE,
        ("linear", "cosine"),
    ),
    "temperature_start": ("positive", NO_POSITIVE, (1.0, 2)),
    "temperature_end": ("positive", NO_POSITIVE, (0.03, 1)),
    "sampling": (
        "one of concrete, gdas, dsnas, top_k",
        NO_CHOICE,
        ("concrete", "top_k"),
    ),
    "sampled_ops": ("a whole number, 2 or more", (*NO_COUNT, 1), (2, 4)),
    "seed": ("a whole number, 0 or more", NO_COUNT_OR_ZERO, (0, 7)),
    "data": ("a text", NO_TEXT, ("digits", "cifar10")),
    "data_root": ("a text", NO_TEXT, ("data", "elsewhere")),
    "data_cache": ("a text", NO_TEXT, (None, "cache")),
    "data_place": ("a text", NO_TEXT, (None, "moved")),
    "image_size": ("a whole number, 4 or more", (*NO_COUNT, 3), (None, 4)),
    "image_channels": ("a whole number from 1 to 64", (0, 65, 3.0, True, "1", NAN, [1]), (3, 5)),
    "fit": ("one of crop, pad, squash", NO_CHOICE, ("crop", "pad")),
    "bad_images": ("one of error, skip", NO_CHOICE, ("error", "skip")),
    "limit_images": ("a positive whole number", NO_COUNT, (None, 1)),
    "validation_fraction": ("above 0 and below 1", (0, *NO_SHARE), (0.2, 0.99)),
    "metric": (
        "one of accuracy, balanced_accuracy",
        NO_CHOICE,
        ("accuracy", "balanced_accuracy"),
    ),
    "cells": ("a whole number, 3 or more", (*NO_COUNT, 2), (3, 20)),
    "channels": ("a whole number, 2 or more", (*NO_COUNT, 1), (2, 36)),
    "partial_channels": ("a positive whole number", NO_COUNT, (1, 2)),
    "nodes": ("a positive whole number", NO_COUNT, (1, 4)),
    "ops": (
        "two or more different names",
        ("none", (), ["none"], ("a", "a"), 3, ("a", 2), (["a"], "b"), {"a": 1, "b": 2}),
        (DARTS_OPS, ("none", "skip_connect")),
    ),
    "ops_module": ("a text", NO_TEXT, (None, "my_ops")),
    "stem": ("one of cifar, imagenet", NO_CHOICE, ("cifar", "imagenet")),
    "epochs": ("a positive whole number", NO_COUNT, (1, 600)),
    "batch_size": ("a whole number, 2 or more", (*NO_COUNT, 1), (2, 64)),
    "evaluation_batch_size": ("a positive whole number", NO_COUNT, (1, 250)),
    "weights_learning_rate": ("positive", NO_POSITIVE, (0.025, 1)),
    "weights_learning_rate_end": ("0 or more", NEGATIVE, (0, 0.001)),
    "weights_momentum": ("at least 0 and below 1", NO_SHARE, (0, 0.9)),
    "weights_decay": ("0 or more", NEGATIVE, (0, 3e-4)),
    "weights_clip": ("positive", NO_POSITIVE, (5.0, 1)),
    "logits_learning_rate": ("positive", NO_POSITIVE, (None, 3e-4)),
    "logits_decay": ("0 or more", NEGATIVE, (0, 1e-3)),
    "logits_clip": ("positive", NO_POSITIVE, (10.0, 1)),
    "logits_spread": ("0 or more", NEGATIVE, (0, 0.01)),
    "drop_path": ("at least 0 and below 1", NO_SHARE, (0, 0.3)),
    "crop_padding": ("a whole number, 0 or more", NO_COUNT_OR_ZERO, (0, 4)),
    "flip": ("true or false", NO_FLAG, (False, True)),
    "cutout": ("a whole number, 0 or more", NO_COUNT_OR_ZERO, (0, 16)),
    "child_every": ("a positive whole number", NO_COUNT, (1, 5)),
    "recalibration_batches": ("a positive whole number", NO_COUNT, (1, 20)),
    "supernet": ("one of auto, plain, fused", (*NO_CHOICE, "fast"), ("plain", "fused")),
    "activation_checkpointing": ("true or false", NO_FLAG, (False, True)),
    "device": ("auto, or one of cpu", (*NO_TEXT, "tpu", "cuda:99", "cuda:"), ("auto", "cpu")),
    "threads": ("a positive whole number", NO_COUNT, (None, 1)),
    "precision": ("one of float32, float64, bfloat16, float16", NO_CHOICE, ("float32", "float16")),
    "channels_last": ("true or false", NO_FLAG, (False, True)),
    "compile": ("true or false", NO_FLAG, (False, True)),
}

OPTIONAL = {name for name, (_, _, good) in FIELDS.items() if good[0] is None} | {"image_channels"}
BAD = [(name, rule, value) for name, (rule, values, _) in FIELDS.items() for value in values]


def config(**values: object) -> SearchConfig:
    """A config; a target needs a strength."""
    strength = {"penalty_strength": 0.5} if values.get("target_flops") else {}
    return SearchConfig(**{**strength, **values})


def test_every_field_is_in_the_table():
    assert list(FIELDS) == [field.name for field in dataclasses.fields(SearchConfig)]


@pytest.mark.parametrize(("name", "rule", "value"), BAD, ids=lambda v: repr(v)[:30])
def test_a_value_that_breaks_its_fields_rule_is_refused_in_one_line(name, rule, value):
    with pytest.raises(ValueError, match=f"^{name} must be {re.escape(rule)}.*, got ") as error:
        config(**{name: value})
    assert str(error.value).endswith(f"got {shown(value)}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FIELDS)
def test_only_an_optional_field_may_be_left_out_as_none(name):
    if name in OPTIONAL:
        assert getattr(config(**{name: None}), name) is None
    else:
        with pytest.raises(ValueError, match=f"^{name} must be .*, got None$"):
            config(**{name: None})


@pytest.mark.parametrize("name", FIELDS)
def test_values_within_the_rule_are_kept_and_tell_configs_apart(name):
    first, second = (config(**{name: value}) for value in FIELDS[name][2])
    assert (getattr(first, name), getattr(second, name)) == FIELDS[name][2]
    if name in ("data_root", "data_cache", "data_place"):
        assert first.fingerprint() == second.fingerprint()
    else:
        assert first.fingerprint() != second.fingerprint()
    for each in (first, second):
        assert re.fullmatch("[0-9a-f]{6}", each.fingerprint())


settings_of_a_search = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(good)
        for name, (_, _, good) in FIELDS.items()
        if name not in ("target_flops", "sampled_ops")  # these must fit others
    },
)


@settings(deadline=None)
@given(settings_of_a_search)
def test_a_config_survives_its_dict_and_json(values):
    made = SearchConfig(**values)
    assert SearchConfig.from_dict(made.to_dict()) == made
    back = SearchConfig.from_dict(json.loads(made.to_json()))
    assert back == made
    assert back.to_json() == made.to_json()
    assert back.fingerprint() == made.fingerprint()
    assert "\n" not in made.to_json()


def test_equal_configs_have_one_json_whatever_the_order_of_the_costs():
    one = SearchConfig(penalty_costs={"flops": 1.0, "params": 2.0})
    other = SearchConfig(penalty_costs={"params": 2.0, "flops": 1.0})
    assert one.to_json() == other.to_json()
    assert one.fingerprint() == other.fingerprint()


def test_an_unknown_setting_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"^unknown settings \['depth', 'eta'\]; ") as error:
        SearchConfig.from_dict({"eta": 1, "depth": 2, "cells": 3})
    assert str(error.value).endswith(f"SearchConfig has {sorted(FIELDS)}")


def test_a_config_does_not_follow_the_callers_own_values():
    costs, ops = {"flops": 1.0}, ["none", "skip_connect"]
    made = SearchConfig(penalty_costs=costs, ops=ops)
    costs["params"], ops[0] = 1.0, "sep_conv_3x3"
    made.to_dict()["penalty_costs"]["memory"] = 3.0
    made.to_dict()["ops"].append("x")
    assert made == SearchConfig(penalty_costs={"flops": 1.0}, ops=("none", "skip_connect"))
    assert made.ops == ("none", "skip_connect")
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.cells = 4


def test_a_cost_that_does_not_exist_is_refused():
    with pytest.raises(
        ValueError, match=rf"^penalty_costs must be of {', '.join(COSTS)}, got \['energy'\]$"
    ):
        SearchConfig(penalty_costs={"flops": 1.0, "energy": 1.0})


def test_a_penalty_on_latency_needs_a_table():
    message = "^latency_table must be given for a penalty on latency_ms, got None$"
    with pytest.raises(ValueError, match=message):
        SearchConfig(penalty_costs={"latency_ms": 1.0})
    SearchConfig(penalty_costs={"latency_ms": 1.0}, latency_table="table.json")
    SearchConfig(penalty_costs={"latency_ms": 0, "flops": 1.0})


def test_the_channels_are_a_multiple_of_the_partial_ones():
    message = "^channels must be a multiple of partial_channels, which is 4, got 6$"
    with pytest.raises(ValueError, match=message):
        SearchConfig(channels=6, partial_channels=4)
    for partial in (1, 2, 3, 6):
        SearchConfig(channels=6, partial_channels=partial)


def test_a_target_needs_a_strength():
    message = "^penalty_strength must be positive where target_flops is given, got 0$"
    with pytest.raises(ValueError, match=message):
        SearchConfig(target_flops=1e6)
    assert SearchConfig(target_flops=1e6, penalty_strength=0.1).target_flops == 1e6


@pytest.mark.parametrize("name", ["space", "method"])
def test_a_config_of_the_first_space_and_method_has_the_fingerprint_from_before_there_were_others(
    name,
):
    made = SearchConfig()
    assert name not in made.to_dict()
    assert made.fingerprint() == "4b9ee7"  # of SearchConfig() at commit cd67db4
    other = dataclasses.replace(made, **{name: "own:Class"})
    assert other.to_dict()[name] == "own:Class"
    assert SearchConfig.from_dict(other.to_dict()) == other


def test_the_fast_supernet_of_an_earlier_json_is_the_fused_one():
    earlier = {**SearchConfig(supernet="fused").to_dict(), "supernet": "fast"}
    assert SearchConfig.from_dict(earlier) == SearchConfig(supernet="fused")
    assert earlier["supernet"] == "fast"


def test_more_sampled_ops_than_ops_are_refused_where_they_count():
    ops = ("none", "skip_connect", "max_pool_3x3")
    message = "^sampled_ops must be at most the number of ops, 3, got 4$"
    with pytest.raises(ValueError, match=message):
        SearchConfig(ops=ops, sampling="top_k", sampled_ops=4)
    assert SearchConfig(ops=ops, sampled_ops=4).sampling == "concrete"


def test_an_unknown_name_is_told_the_one_that_was_meant():
    with pytest.raises(ValueError, match=r"^unknown settings \['chanels'\]; perhaps channels"):
        SearchConfig.from_dict({"chanels": 4})


def test_a_path_is_taken_and_stored_as_its_text():
    places = ("data", "data_root", "data_cache", "latency_table")
    config = SearchConfig(**{name: Path("here") / name for name in places})
    assert [getattr(config, name) for name in places] == [f"here/{name}" for name in places]
    assert json.loads(config.to_json())["data"] == "here/data"
