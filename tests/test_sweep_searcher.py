"""Where the front is thin, and the searcher that goes there."""

from __future__ import annotations

import math
import pickle
from importlib import import_module

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

from snas_tune.stopping import Outcome, widest_gap
from snas_tune.sweep import sampler, two_objectives
from snas_tune.sweep.searcher import BatchedOptuna, ParetoSearch, make_searcher
from snas_tune.sweep.settings import SEARCHERS

LOW, HIGH = math.log(0.01), math.log(100)
SPACE = {
    "penalty_strength": tune.loguniform(0.01, 100),
    "temperature_schedule": tune.choice(["linear", "cosine"]),
    "other": 1,
}


def test_the_widest_gap_is_between_the_neighbours_that_are_farthest_apart():
    front = [
        Outcome(0.0, (0.0, 10.0)),
        Outcome(1.0, (1.0, 9.0)),
        Outcome(2.0, (9.0, 1.0)),
        Outcome(3.0, (10.0, 0.0)),
    ]
    assert widest_gap(front, 0.0, 3.0) == 1.5
    assert widest_gap(front[::-1], 0.0, 3.0) == 1.5
    dominated = Outcome(1.9, (9.5, 9.5))  # it lies there, so the gap is looked for beside it
    assert widest_gap([*front, dominated], 0.0, 3.0) == pytest.approx(1.45)


def test_trials_that_say_nothing_about_a_gap_divide_it_all_the_same():
    front = [Outcome(0.0, (0.0, 10.0)), Outcome(8.0, (10.0, 0.0)), Outcome(12.0, (20.0, -3.0))]
    gap, proposed = list(front), []
    for _ in range(4):
        proposed.append(widest_gap(gap, 0.0, 12.0))
        gap.append(Outcome(proposed[-1]))  # stopped, or still running
    assert proposed[0] == 4.0
    assert 10.0 in proposed  # not for ever the same gap, which may be one that nothing fills


def test_the_ends_of_the_range_are_gaps_as_wide_as_they_are():
    middle = [Outcome(5.0, (0.0, 1.0)), Outcome(5.5, (0.1, 0.9)), Outcome(6.0, (1.0, 0.0))]
    assert widest_gap(middle[:1], 0.0, 8.0) == 2.5
    assert widest_gap([Outcome(3.0, (0.0, 0.0))], 0.0, 8.0) == 5.5


def test_there_is_no_gap_without_trials_or_without_room():
    assert widest_gap([], 0.0, 1.0) is None
    assert widest_gap([Outcome(0.5)], 0.0, 1.0) is None
    assert widest_gap([Outcome(0.5, (1.0, 1.0))], 1.0, 1.0) is None
    crowded = [Outcome(float(i) / 2000, (float(i), float(-i))) for i in range(2001)]
    assert widest_gap(crowded, 0.0, 1.0) is None


PLACE = st.integers(0, 20).map(lambda i: i / 2)
KNOWN = st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float))


@given(st.lists(st.builds(Outcome, PLACE, st.none() | KNOWN), max_size=12), st.data())
def test_a_gap_lies_within_the_range_at_no_trial_and_not_on_their_order(outcomes, data):
    gap = widest_gap(outcomes, 0.0, 10.0)
    if gap is not None:
        assert 0 < gap < 10
        assert gap not in {outcome.niche for outcome in outcomes}


def run(search, trials, accuracy=lambda s: 0.9 - 0.8 * s / (s + 5), epochs=lambda i: 27):
    """A sweep of one trial at a time; flops fall as the strength grows."""
    proposed = []
    for i in range(trials):
        config = search.suggest(f"t{i}")
        assert search.suggest(f"more{i}") is None  # one at a time
        proposed.append(config)
        strength = config["penalty_strength"]
        result = {
            "epoch": epochs(i),
            "child_accuracy": accuracy(strength),
            "flops": 1e6 / (1 + strength),
        }
        search.on_trial_complete(f"t{i}", result)
    return proposed


def made(**changes):
    search = ParetoSearch(**{"concurrent": 1, "whole": ("epoch", 27), **changes})
    assert search.set_search_properties(None, None, SPACE)
    return search


def test_it_tries_the_first_points_and_then_fills_the_gaps():
    points = [{"penalty_strength": s, "temperature_schedule": "linear"} for s in (0.01, 100.0)]
    proposed = run(made(points=points, gap_share=1.0), 12)
    assert proposed[:2] == points
    assert proposed[2]["penalty_strength"] == pytest.approx(1.0)
    # The front is even in neither strength nor its logarithm; the gaps become even in objectives.
    outcomes = sorted((1 / (1 + p["penalty_strength"]) for p in proposed), reverse=True)
    assert max(np.diff(outcomes[::-1])) < 0.2
    random = run(made(sampler="random", points=points, gap_share=0.0), 12)
    evenly = sorted(1 / (1 + p["penalty_strength"]) for p in random)
    assert max(np.diff(evenly)) > max(np.diff(outcomes[::-1]))


def test_one_seed_fixes_its_proposals_and_another_changes_them():
    assert run(made(seed=3), 9) == run(made(seed=3), 9)
    assert run(made(seed=3), 9) != run(made(seed=4), 9)


def test_a_restored_searcher_proposes_what_the_first_one_would_have(tmp_path):
    whole = run(made(seed=1), 14)
    first = made(seed=1)
    assert run(first, 8) == whole[:8]
    first.save(str(tmp_path / "saved"))
    second = ParetoSearch(concurrent=1, whole=("epoch", 27), seed=1)
    second.restore(str(tmp_path / "saved"))
    rest = [second.suggest(f"u{i}") for i in range(1)]
    assert rest == [whole[8]]


def test_a_searcher_that_cd67db4_saved_is_restored(tmp_path):
    """Its classes were in another room, and it kept the end of a trial in two attributes."""
    whole = run(made(seed=1), 14)
    first = made(seed=1)
    run(first, 8)
    state = {key: value for key, value in first.__dict__.items() if key != "_whole"}
    now = pickle.dumps({**state, "_time_attr": "epoch", "_max_t": 27})
    assert now.count(b"snas_tune.stopping") == 1
    old = now.replace(b"snas_tune.stopping", b"snas_tune.schedule")  # equally long
    (tmp_path / "saved").write_bytes(old)
    second = made(seed=2)
    second.restore(str(tmp_path / "saved"))
    assert second.suggest("u0") == whole[8]
    assert second._whole == ("epoch", 27)


def test_what_the_states_of_cd67db4_name_is_still_there():
    """Tune pickles by name the function that names trials; without it a resume starts anew."""
    for module, name in (("sweep.run", "_name_of"), ("sweep.trainable", "SnasTrainable")):
        assert hasattr(import_module(f"snas_tune.{module}"), name)


def test_a_stopped_trial_fills_no_gap_and_is_worse_than_a_whole_one_to_optuna():
    search = made(gap_share=1.0)
    run(search, 4, epochs=lambda i: 9 if i == 2 else 27)
    assert [o.costs is None for o in search._outcomes.values()] == [False, False, True, False]
    left = [max(t.constraints.values()) for t in search._ot_study.trials]
    assert left == [0.0, 0.0, pytest.approx(18 / 27), 0.0]
    assert 2 not in [t.number for t in search._ot_study.best_trials]


def test_failed_and_unknown_trials_are_told_as_failed():
    search = made()
    for i, end in enumerate((None, {"epoch": 27, "child_accuracy": math.nan, "flops": 1.0})):
        search.suggest(f"t{i}")
        search.on_trial_complete(f"t{i}", end, error=end is None)
    assert [t.state.name for t in search._ot_study.trials] == ["FAIL", "FAIL"]
    search.on_trial_complete("unknown", None)
    assert search.suggest("next") is not None


def test_a_space_without_strengths_has_no_gaps():
    search = ParetoSearch(concurrent=2)
    search.set_search_properties(None, None, {"x": tune.choice([1, 2]), "penalty_strength": 3.0})
    assert search.suggest("a")["x"] in (1, 2)
    assert search.suggest("b") is not None
    assert search.suggest("c") is None
    nothing = ParetoSearch(concurrent=1)
    nothing.set_search_properties(None, None, {"x": 1})
    assert nothing.suggest("a") == {}
    nothing.on_trial_complete("a", {"child_accuracy": 1.0, "flops": 1.0})


def test_every_searcher_is_to_be_had_by_its_name():
    for name in SEARCHERS:
        search = make_searcher(name, concurrent=2, max_t=27)
        assert isinstance(search, ParetoSearch)
        search.set_search_properties(None, None, SPACE)
        assert 0.01 <= search.suggest("a")["penalty_strength"] <= 100
    assert isinstance(make_searcher("tpe", concurrent=2), BatchedOptuna)
    with pytest.raises(ValueError, match="gap_share must be from 0 to 1, got 2"):
        ParetoSearch(concurrent=1, gap_share=2)
    with pytest.raises(ValueError, match=r"searcher must be one of pareto, tpe, .*, got 'best'"):
        make_searcher("best", concurrent=1)


def proposals(count: int, search: ParetoSearch) -> list[dict]:
    """Trials proposed and told one after the other, every third one stopped halfway."""
    search.set_search_properties(None, None, dict(SPACE))
    draws, configs = np.random.default_rng(0), []
    for number in range(count):
        configs.append(search.suggest(f"t{number}"))
        accuracy, flops = draws.random(2)
        result = {"child_accuracy": accuracy, "flops": flops, "epoch": 5 if number % 3 else 10}
        search.on_trial_complete(f"t{number}", result)
    return configs


def test_the_sampler_is_optunas_own_until_it_has_many_trials(monkeypatch):
    def make() -> ParetoSearch:
        return ParetoSearch(concurrent=1, sampler="tpe", gap_share=0, whole=("epoch", 10))

    ours = proposals(60, make())
    monkeypatch.setattr(sampler, "MOST", 40)
    monkeypatch.setattr(sampler, "KEPT", 30)
    fewer = proposals(60, make())
    monkeypatch.setitem(
        two_objectives.SAMPLERS, "tpe", lambda seed: optuna.samplers.TPESampler(seed=seed)
    )
    assert ours == proposals(60, make())
    assert fewer[:41] == ours[:41]
    assert fewer[41:] != ours[41:]


def test_the_sampler_keeps_the_front_and_the_latest_of_the_rest():
    study = optuna.create_study(directions=["maximize", "minimize"])
    for number in range(300):
        trial = study.ask()
        best = number in (3, 7)
        trial.set_constraint("left", 0.5 if number == 5 else 0.0)
        study.tell(
            trial, [0.9, 1.0] if best or number == 5 else [0.1 + number / 1e4, 10.0 + number]
        )
    kept = [trial.number for trial in sampler.kept_of(study.trials, ("max", "min"))]
    assert kept == [3, 7, *range(102, 300)]


@pytest.mark.parametrize("made", [BatchedOptuna, ParetoSearch])
@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ([("a", "min"), ("a", "max")], "objectives must have different names"),
        ([("a", "min"), ("b", "least")], "mode of an objective must be max or min, got 'least'"),
        (["a", "b"], "objectives must be pairs of a name and max or min"),
        (None, "objectives must be pairs of a name and max or min, got None"),
        ([], r"objectives must be two or more, got \[\]"),
    ],
)
def test_objectives_of_a_searcher_are_checked(made, objectives, message):
    size = {"batch": 2} if made is BatchedOptuna else {"concurrent": 2}
    with pytest.raises(ValueError, match=message):
        made(**size, objectives=objectives)


def test_a_searcher_takes_tunes_metric_if_it_is_an_objective_and_one_sweep():
    search = ParetoSearch(concurrent=1, objectives={"loss": "min", "gain": "max"})
    with pytest.raises(
        ValueError,
        match=r"metric must be one of the objectives loss \(min\), gain \(max\), got 'a'",
    ):
        search.set_search_properties("a", "min", SPACE)
    assert search.set_search_properties("loss", "min", SPACE)
    assert search.metric == ["loss", "gain"]
    with pytest.raises(ValueError, match="searcher must be a new one for each sweep"):
        search.set_search_properties(None, None, SPACE)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_trial_without_finite_values_is_told_as_failed(value):
    search = ParetoSearch(concurrent=1)
    search.set_search_properties(None, None, SPACE)
    search.suggest("a")
    search.on_trial_complete("a", {"child_accuracy": value, "flops": 5.0})
    assert [trial.state.name for trial in search._ot_study.trials] == ["FAIL"]


@pytest.mark.parametrize("made", [BatchedOptuna, ParetoSearch])
def test_a_state_that_cannot_be_read_ends_the_sweep_at_the_next_proposal(made, tmp_path, capsys):
    search = made(**({"batch": 2} if made is BatchedOptuna else {"concurrent": 2}))
    search.set_search_properties(None, None, SPACE)
    state = tmp_path / "searcher-state.pkl"
    search.save(str(state))
    search.restore(str(state))
    search.suggest("a")
    state.write_bytes(state.read_bytes()[:40])
    search.restore(str(state))  # which must not raise: Tune would begin anew
    assert "cannot be read" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"^searcher must go on from its state .* cannot be read"):
        search.suggest("b")


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.array])
def test_the_searchers_take_numbers_of_other_libraries(kind):
    to = ParetoSearch(
        concurrent=np.int64(2), seed=np.int64(3), gap_share=kind(1), whole=("epoch", kind(4))
    )
    held = [to._concurrent, to._seed_of_choice, to._gap_share, to._whole[1]]
    assert held == [2, 3, 1, 4]
    assert all(type(value) in (int, float) for value in held)
    assert type(BatchedOptuna(batch=np.int64(2), seed=np.int64(0))._concurrent) is int
    made = make_searcher("tpe", concurrent=np.int64(2), max_t=kind(4))
    assert type(made._whole[1]) in (int, float)
