"""The stopping rules against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from histories import COST, dominates, history_of
from hypothesis import given
from hypothesis import strategies as st

from snas_tune.front.dominance import hypervolume
from snas_tune.stopping import RULES, History, Report, make_rule
from snas_tune.stopping.predict import ENOUGH, NEIGHBOURS, predict
from snas_tune.stopping.rules import best_of_niche, epsilon_net_place, gain

MARGINS = st.sampled_from([(0.0, 1.0), (1.0, 0.0), (2.0, 1.0)])
PAIRS = st.lists(st.tuples(COST, COST), min_size=1, max_size=9)


def slow_ranks(costs):
    ranks, left = {}, set(range(len(costs)))
    while left:
        rank = len(set(ranks.values()))
        front = {i for i in left if not any(dominates(costs[j], costs[i]) for j in left)}
        ranks |= dict.fromkeys(front, rank)
        left -= front
    return ranks


def slow_place(costs, row):
    """The place of a row by the definition: whole fronts, each in the order of its epsilon net."""
    points = np.asarray(costs, dtype=float)
    width = np.ptp(points, axis=0)
    points = (points - points.min(axis=0)) / np.where(width > 0, width, 1)
    ranks = slow_ranks([tuple(c) for c in costs])
    order = []
    for rank in sorted(set(ranks.values())):
        left = [i for i in ranks if ranks[i] == rank]
        net = []
        while left:

            def score(i, net=net):
                far = min(
                    (np.linalg.norm(points[[i]] - points[j], axis=1)[0] for j in net), default=None
                )
                return (points[i, 0] if far is None else -far, i != row, i)

            chosen = min(left, key=score)
            net.append(chosen)
            left.remove(chosen)
        order += net
    return order.index(row)


@given(PAIRS, st.data())
def test_the_place_in_mo_ashas_order_is_the_definitions(costs, data):
    row = data.draw(st.integers(0, len(costs) - 1))
    place = slow_place(costs, row)
    assert epsilon_net_place(np.array(costs), row, len(costs)) == place
    enough = data.draw(st.integers(1, len(costs)))
    assert (epsilon_net_place(np.array(costs), row, enough) < enough) == (place < enough)


@given(PAIRS, st.data())
def test_the_unit_of_an_objective_does_not_matter(costs, data):
    row = data.draw(st.integers(0, len(costs) - 1))
    scaled = np.array(costs) * [1, 2.0**20]  # a power of two, so that nothing is rounded
    assert epsilon_net_place(scaled, row, len(costs)) == slow_place(costs, row)


def test_an_epsilon_net_spreads_over_normalised_objectives():
    costs = np.array([(0, 5.0), (3, 4.9), (4, 1), (5, 0)]) * [1, 1e6]
    assert [epsilon_net_place(costs, row, 4) for row in range(4)] == [0, 2, 3, 1]


@given(PAIRS, st.sampled_from([2.0, 3.0, 4.0]))
def test_mo_asha_keeps_the_best_share_of_that_order(costs, factor):
    history, reports = history_of(costs)
    kept = make_rule("mo-asha", factor)(history, reports[-1])
    assert kept == (slow_place(costs, len(costs) - 1) < len(costs) / factor)


@given(PAIRS, st.sampled_from([2.0, 3.0, 4.0]))
def test_asha_keeps_the_best_share_in_one_objective(costs, factor):
    history, reports = history_of(costs)
    for name, column in (("asha", 0), ("asha-cost", 1)):
        better = sum(cost[column] < costs[-1][column] for cost in costs)
        assert make_rule(name, factor)(history, reports[-1]) == (better < len(costs) / factor)


def test_asha_on_a_scalar_normalises_each_objective():
    rule = make_rule("asha-scalar", 3)
    # In raw units the second objective alone would decide, and keep the last one.
    history, reports = history_of([(0.0, 2e9), (0.5, 1.9e9), (1.0, 1e9), (1.0, 1.2e9)])
    assert not rule(history, reports[-1])
    history, reports = history_of([(0.0, 2e9), (0.5, 1.9e9), (1.0, 1e9), (0.1, 1.2e9)])
    assert rule(history, reports[-1])


@pytest.mark.parametrize("name", RULES)
@given(costs=PAIRS, data=st.data())
def test_no_rule_looks_at_the_order_of_the_trials_before(name, costs, data):
    *others, last = costs
    shuffled = data.draw(st.permutations(others))
    decisions = set()
    for each in (others, shuffled):
        niches = [float(3 * a + b) for a, b in (*each, last)]
        history, reports = history_of([*each, last], niches)
        decisions.add(make_rule(name, 3)(history, reports[-1]))
    assert len(decisions) == 1


@pytest.mark.parametrize("name", RULES)
@given(costs=PAIRS, margin=MARGINS)
def test_if_a_trial_goes_on_one_that_dominates_it_does(name, costs, margin):
    costs = [*costs, tuple(map(sum, zip(costs[0], margin, strict=True)))]
    better, worse = 0, len(costs) - 1
    rule = make_rule(name, 3)

    def goes_on(place):
        """What is decided if that one is the last to report, all in the same niche."""
        order = [cost for i, cost in enumerate(costs) if i != place] + [costs[place]]
        history, reports = history_of(order, [0.0] * len(costs))
        return rule(history, reports[-1])

    assert goes_on(better) >= goes_on(worse)


NICHED = st.lists(st.tuples(COST, COST, st.integers(0, 12).map(float)), min_size=1, max_size=24)


def slow_best_of_niche(costs, niches, size):
    own = len(costs) - 1
    far = sorted(abs(niche - niches[own]) for niche in niches)[:size][-1]
    mates = {i for i, niche in enumerate(niches) if abs(niche - niches[own]) <= far}
    return any(
        min(mates, key=lambda i: (costs[i][first], costs[i][1 - first], i)) == own
        for first in (0, 1)
    )


@given(NICHED, st.integers(1, 9))
def test_best_of_a_niche_is_the_best_of_its_nearest_in_an_objective(rows, size):
    costs, niches = [row[:2] for row in rows], [row[2] for row in rows]
    history, reports = history_of(costs, niches)
    assert best_of_niche(history, reports[-1], size) == slow_best_of_niche(costs, niches, size)


@given(NICHED)
def test_the_default_rule_stops_no_trial_that_is_the_best_of_its_niche(rows):
    costs, niches = [row[:2] for row in rows], [row[2] for row in rows]
    rule = make_rule("pareto", 3)
    history, reports = with_moves(costs, niches)
    if slow_best_of_niche(costs, niches, rule.niche):
        assert rule(history, reports[-1])


def with_moves(costs, niches, change=(-1.0, 0.0)):
    """A history in which all but the last trial went on to the end, each rung by that change."""
    history = History(3, 2)
    reports = []
    for i, (cost, niche) in enumerate(zip(costs, niches, strict=True)):
        for rung in range(3 if i < len(costs) - 1 else 1):
            moved = tuple(c + rung * d for c, d in zip(cost, change, strict=True))
            reports.append(Report(f"t{i}", rung, moved, niche))
            history.add(reports[-1])
    return history, reports


STEP = st.tuples(st.integers(-2, 1).map(float), st.integers(-1, 1).map(float))
WALKS = st.lists(
    st.tuples(COST, COST, st.integers(0, 12).map(float), STEP), min_size=4, max_size=12
)


def walked(walks, costs, niche):
    """A history in which some trials went to the end and another one just reported."""
    history = History(3, 2)
    for i, (first, second, place, step) in enumerate(walks):
        for rung in range(3):
            moved = (first + rung * step[0], second + rung * step[1])
            history.add(Report(f"t{i}", rung, moved, place))
    report = Report("last", 0, costs, niche)
    history.add(report)
    return history, report


@pytest.mark.parametrize("niches", [True, False])
@pytest.mark.parametrize("name", ["hopeless", "pareto"])
@given(
    walks=WALKS, costs=st.tuples(COST, COST), niche=st.integers(0, 12).map(float), data=st.data()
)
def test_predictions_do_not_look_at_the_order_of_the_trials(
    name, niches, walks, costs, niche, data
):
    decisions = set()
    for each in (walks, data.draw(st.permutations(walks))):
        each = [walk if niches else (*walk[:2], math.nan, walk[3]) for walk in each]
        history, report = walked(each, costs, niche if niches else math.nan)
        decisions.add(make_rule(name, 3)(history, report))
    assert len(decisions) == 1


@pytest.mark.parametrize("name", ["hopeless", "pareto", "lag-corrected"])
@given(
    walks=WALKS, better=st.tuples(COST, COST), margin=MARGINS, niche=st.integers(0, 12).map(float)
)
def test_predictions_are_monotone_in_domination(name, walks, better, margin, niche):
    costs = tuple(map(sum, zip(better, margin, strict=True)))

    def goes_on(first, last):
        history, _ = walked(walks, first, niche)
        report = Report("the last", 0, last, niche)
        history.add(report)
        return make_rule(name, 3)(history, report)

    assert goes_on(costs, better) >= goes_on(better, costs)


def predicted_end(history, report):
    return predict(history, report.rung, np.array([report.niche]), np.array([report.costs]))


def test_a_prediction_adds_what_the_nearest_neighbours_did():
    niches = [0.0, 1.0, 2.0, 3.0, 4.0, 50.0, 60.0, 2.2]
    history = History(3, 2)
    for i, niche in enumerate(niches[:-1]):
        for rung in range(3):
            # Far ones move otherwise; of the near ones accuracy by 1, 2, 3, 4, 5 a rung.
            step = i + 1 if niche < 10 else 100
            history.add(Report(f"t{i}", rung, (10.0 - step * rung, 5.0 + rung), niche))
    last = Report("last", 0, (8.0, 7.0), niches[-1])
    history.add(last)
    expected, deviation = predicted_end(history, last)
    assert NEIGHBOURS == 5
    width = history.high - history.low
    assert expected[0] * width + history.low == pytest.approx([8 - 3 - 3, 7 + 1 + 1])
    assert deviation[0] * width == pytest.approx([math.sqrt(2 + 2), 0])


def test_nothing_is_predicted_from_few_and_every_trial_then_goes_on():
    for others in range(ENOUGH + 2):
        costs = [(1.0, 1.0)] * others + [(9.0, 9.0)]
        history, reports = with_moves(costs, [float(i) for i in range(len(costs))])
        predicted = predicted_end(history, reports[-1])
        assert (predicted is None) == (others < ENOUGH)
        if others < ENOUGH:
            assert make_rule("hopeless", 3)(history, reports[-1])


def test_a_trial_is_stopped_if_even_its_predicted_end_adds_nothing():
    niches = [float(i) for i in range(12)]
    costs = [(float(12 - i), float(i)) for i in range(12)]
    rule = make_rule("hopeless", 3)
    # All costs fall by 4 until the end, so (9, 9) ends at (5, 9), behind (3, 5) and others.
    history, reports = with_moves([*costs, (9.0, 9.0)], [*niches, 4.5], (-2.0, 0.0))
    assert not rule(history, reports[-1])
    # One that ends before the front stays, though others dominate it now.
    history, reports = with_moves([*costs, (7.5, 2.6)], [*niches, 4.5], (-2.0, 0.0))
    assert rule(history, reports[-1])


@pytest.mark.parametrize("name", ["lag-corrected", "pareto"])
def test_trials_are_ranked_by_where_they_will_end(name):
    """Strong penalties are ahead early, and weak ones gain more accuracy until the end."""
    history = History(3, 2)
    trials = [(float(i), 20.0, 8.0, -8.0) for i in range(5)]
    trials += [(20.0 + i, 10.0 + i, 2.0, -1.0) for i in range(5)]
    for i, (niche, error, cost, change) in enumerate(trials):
        for rung in range(3):
            history.add(Report(f"t{i}", rung, (error + rung * change, cost), niche))
    late = Report("weak", 0, (19.5, 8.0), 2.0)  # beaten in both objectives by five
    history.add(late)
    assert not make_rule("mo-asha", 3)(history, late)
    assert make_rule(name, 3)(history, late)
    lame = Report("strong", 0, (19.0, 8.0), 22.0)
    history.add(lame)
    assert not make_rule(name, 3)(history, lame)


@given(PAIRS, st.tuples(COST, COST))
def test_the_gain_is_the_hypervolume_that_a_point_adds(costs, point):
    history, _ = history_of(costs)
    everything = np.array(costs)
    low, high = everything.min(axis=0), everything.max(axis=0)
    width = np.where(high > low, high - low, math.inf)  # one that is constant has no say
    corner = (1.1, 1.1)
    before = hypervolume((everything - low) / width, ("min", "min"), corner)
    place = (np.array(point) - low) / width
    both = np.vstack([(everything - low) / width, place])
    assert gain(history, place) == pytest.approx(hypervolume(both, ("min", "min"), corner) - before)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match=r"rule must be one of pareto, .*, got 'best'"):
        make_rule("best", 3)
