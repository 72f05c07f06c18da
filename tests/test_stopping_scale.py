"""No rule looks at units: scaled, moved, huge and constant objectives; trials that are copies."""

from __future__ import annotations

import math
import random

import pytest

from snas_tune.stopping import RULES, Judge, make_rule

NAN = math.nan
LEVELS = (1, 3, 9)


def reports(seed, niches, trials=24, noise=0.0):
    """Reports of trials that take turns; without noise in sixteenths, so that moves are exact."""
    generator = random.Random(seed)
    starts = [(generator.randrange(64), generator.randrange(64)) for _ in range(trials)]
    order = [(level, i) for i in range(trials) for level in LEVELS]
    generator.shuffle(order)
    for level, i in sorted(order, key=lambda place: place[0] + place[1] // 8 * 4):
        first, second = starts[i]
        error = first + 64 // level + generator.randrange(4) + noise * generator.random()
        second += noise * generator.random()
        niche = float(i * 7 % 24) if niches else NAN
        yield f"t{i}", level, (error / 16, (second + level) / 16), niche


def decisions(name, told, change=lambda costs: costs):
    judge = Judge(LEVELS, 2, make_rule(name, 3))
    return [
        judge.report(trial, time, change(costs), niche)[0] for trial, time, costs, niche in told
    ]


EXACT = {
    "a power of two": lambda c: (c[0] * 2.0**400, c[1] * 2.0**-400),
    "moved by 2**40": lambda c: (c[0] + 2.0**40, c[1] - 2.0**40),
    "moved and scaled": lambda c: ((c[0] + 2.0**40) * 2.0**80, c[1]),
    "from -1.75e308 to 1.75e308": lambda c: ((c[0] - 4) * 2.0**1021, (4 - c[1]) * -(2.0**1021)),
}

ROUNDED = {
    "1e300": lambda c: (c[0] * 1e300, c[1] * 3),
    "1e-300": lambda c: (c[0] * 3, c[1] * 1e-300),
    "moved by 1e4": lambda c: (c[0] + 1e4, c[1] - 1e4),
}
"""Of noisy reports, of which none are nearly equal."""


@pytest.mark.parametrize("niches", [True, False])
@pytest.mark.parametrize("name", [name for name in RULES if name != "fifo"])
def test_decisions_do_not_depend_on_the_units_of_objectives(name, niches):
    for seed, noise, changes in ((0, 0.0, EXACT), (1, 0.0, EXACT), (2, 1.0, ROUNDED)):
        told = list(reports(seed, niches, noise=noise))
        plain = decisions(name, told)
        assert plain.count(False) > len(LEVELS)
        for label, change in changes.items():
            assert decisions(name, told, change) == plain, label


@pytest.mark.parametrize("niches", [True, False])
@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("name", RULES)
def test_an_objective_that_is_constant_has_no_say(name, constant, niches):
    """Neither its value matters, nor is the best trial of the other objective stopped."""

    def flat(value):
        return lambda costs: [(value, costs[1]), (costs[0], value)][constant]

    told = list(reports(0, niches, noise=1.0))
    plain = decisions(name, told, flat(0.0))
    for value in (1e308, -3.5):
        assert decisions(name, told, flat(value)) == plain
    best, stopped = {}, set()
    for goes_on, (trial, level, costs, _) in zip(plain, told, strict=True):
        if level < LEVELS[-1] and trial not in stopped:
            if costs[1 - constant] < best.get(level, math.inf):
                best[level] = costs[1 - constant]
                assert goes_on
            if not goes_on:
                stopped.add(trial)


@pytest.mark.parametrize("niche", [NAN, 2.0])
@pytest.mark.parametrize("name", RULES)
def test_of_trials_that_are_all_alike_the_share_goes_on(name, niche):
    judge = Judge(LEVELS, 2, make_rule(name, 3))
    kept = 0
    for i in range(60):
        alive = [judge.report(f"t{i}", level, (0.5, 7.0), niche)[0] for level in LEVELS]
        kept += alive[0]
    assert kept == (60 if name in ("fifo", "hopeless") else 20)


@pytest.mark.parametrize("name", ["pareto", "lag-corrected", "mo-asha"])
def test_of_copies_of_a_front_point_the_share_goes_on(name):
    """Half of 200 trials are copies of the cheapest one, the others lie behind a front."""
    judge = Judge((3, 9, 27), 2, make_rule(name, 3))
    generator = random.Random(0)
    kept = {True: 0, False: 0}
    for i in range(200):
        cost = generator.random()
        copy = i % 2 == 0
        costs = (0.9, 0.0) if copy else (0.9 - 0.8 * cost + generator.random() / 2, cost)
        kept[copy] += judge.report(f"t{i}", 3, costs)[0]
    assert 60 <= kept[True] <= 67
    assert kept[False] >= 5
