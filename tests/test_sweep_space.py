"""What a sweep varies, its starting points, its searcher, and the names of trials."""

from __future__ import annotations

import math

import pytest
from conftest import TINY
from ray import tune

from snas_tune.config import SearchConfig
from snas_tune.sweep import BatchedOptuna, make_searcher, sweep_space, trial_name
from snas_tune.sweep.domains import absolute_paths, spread_points, starting_points


def test_a_batch_is_told_only_when_all_of_it_has_ended_and_in_its_order():
    def proposals(order):
        searcher = make_searcher("random", concurrent=2, seed=3)
        searcher.set_search_properties(None, None, sweep_space(**TINY))
        first = [searcher.suggest("a"), searcher.suggest("b")]
        assert searcher.suggest("c") is None
        results = {
            "a": {"child_accuracy": 0.5, "flops": 10},
            "b": {"child_accuracy": math.nan, "flops": 20},
        }
        for name in order:
            searcher.on_trial_complete(name, results[name])
        states = [trial.state.name for trial in searcher._ot_study.trials]
        return first, states, searcher.suggest("c")

    one, other = proposals("ab"), proposals("ba")
    assert one == other
    assert one[1] == ["COMPLETE", "FAIL"]  # NaN is a failure, not a lost trial


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_searcher_is_restored_with_its_state(sampler, tmp_path):
    def fresh():
        searcher = make_searcher(sampler, concurrent=1, seed=1)
        searcher.set_search_properties(None, None, sweep_space(**TINY))
        return searcher

    whole = fresh()
    for i in range(3):
        whole.suggest(str(i))
        whole.on_trial_complete(str(i), {"child_accuracy": 0.1 * i, "flops": i})
        if i == 1:
            whole.save(str(tmp_path / "state"))
    restored = fresh()
    restored.restore(str(tmp_path / "state"))
    restored.suggest("2")
    restored.on_trial_complete("2", {"child_accuracy": 0.2, "flops": 2})
    assert restored.suggest("x") == whole.suggest("x")


def test_the_first_points_hit_every_part_of_every_domain_once():
    space = sweep_space(penalty=(0.1, 10.0), schedules=("linear", "cosine"))
    points = spread_points(space, 8, seed=0)
    assert points == spread_points(space, 8, seed=0) != spread_points(space, 8, seed=1)
    parts = sorted(int(4 * (1 + math.log10(p["penalty_strength"]))) for p in points)
    assert parts == list(range(8))
    kinds = [p["temperature_schedule"] for p in points]
    assert kinds.count("linear") == kinds.count("cosine") == 4


def test_points_are_of_the_kind_of_their_domain():
    space = {
        "uniform": tune.uniform(0.0, 0.3),
        "logarithmic": tune.loguniform(1e-3, 1.0),
        "integer": tune.randint(0, 8),
        "logarithmic integer": tune.lograndint(1, 257),
        "choice": tune.choice(["a", "b"]),
        "steps": tune.quniform(0.0, 1.0, 0.25),
        "constant": 3,
    }
    points = spread_points(space, 8, seed=0)
    assert sorted(int(8 * p["uniform"] / 0.3) for p in points) == list(range(8))
    assert sorted(int(8 * (1 + math.log10(p["logarithmic"]) / 3)) for p in points) == list(range(8))
    assert sorted(p["integer"] for p in points) == list(range(8))
    assert sorted(int(math.log2(p["logarithmic integer"])) for p in points) == list(range(8))
    assert all(type(p["logarithmic integer"]) is type(p["integer"]) is int for p in points)
    assert sorted(p["choice"] for p in points) == ["a"] * 4 + ["b"] * 4
    assert {p["steps"] for p in points} <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert all("constant" not in p for p in points)


def test_a_discrete_space_gives_every_config_once():
    space = {"seed": tune.randint(0, 3), "kind": tune.choice(["a", "b"])}
    points = starting_points(space, 6, seed=0)
    assert {(p["seed"], p["kind"]) for p in points} == {(s, k) for s in range(3) for k in "ab"}
    assert starting_points(space, 4, seed=0) == points[:4]
    assert starting_points({"seed": 1}, 1, seed=0) == [{}]
    with pytest.raises(ValueError, match=r"trials must be at most 6, .* got 7"):
        starting_points(space, 7, seed=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"penalty": (-1.0, 1.0)}, "range of penalty_strength must be positive and ascending, got"),
        ({"penalty": (math.nan, 1.0)}, "penalty must be a pair of numbers, got"),
        ({"penalty": 1.0}, "penalty must be a pair of ends, low and high, got 1.0"),
        ({"penalty": ("a", "b")}, r"penalty must be a pair of numbers, got \('a', 'b'\)"),
        ({"schedules": ()}, "schedules must be a list of one kind or more, got"),
        ({"schedules": ("steps",)}, "temperature_schedule must be one of linear, .*, got 'steps'"),
        ({"penalty_strength": 1.0}, r"settings must not fix what the sweep varies, got \['pena"),
        ({"epoch": 1}, r"unknown settings \['epoch'\]; perhaps epochs"),
        ({"temperature_end": (0.0, 1.0)}, "range of temperature_end must be positive and ascendi"),
    ],
)
def test_a_wrong_search_space_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sweep_space(**arguments)


def test_a_space_made_by_hand_has_its_paths_made_absolute_as_well(tmp_path, monkeypatch):
    (tmp_path / "small").mkdir()
    monkeypatch.chdir(tmp_path)
    space = {"data": "small", "latency_table": "t.json", "data_root": "/data", "data_cache": None}
    assert absolute_paths(space) == {
        "data": str(tmp_path / "small"),
        "data_root": "/data",
        "latency_table": str(tmp_path / "t.json"),
        "data_cache": None,
    }
    for name in ("digits", "module:function", "nowhere"):
        assert absolute_paths({"data": name}) == {"data": name}


def test_names_of_trials_follow_from_their_settings_alone():
    config = SearchConfig(penalty_strength=0.5, temperature_schedule="cosine")
    name = trial_name(config.to_dict())
    assert name.startswith("cosine-5.00e-01-")
    elsewhere = SearchConfig(**{**config.to_dict(), "data_root": "/elsewhere"})
    assert trial_name(elsewhere.to_dict()) == name
    assert trial_name({**config.to_dict(), "seed": 1}) != name


def test_a_batch_must_hold_a_trial():
    with pytest.raises(ValueError, match="concurrent must be a positive whole number, got 0"):
        BatchedOptuna(batch=0)
