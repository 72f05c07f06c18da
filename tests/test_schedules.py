from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.annealing import SCHEDULES, check_schedule, temperature_at

temperatures = st.floats(0.01, 10)
MOVING = ("linear", "exponential", "cosine")


def test_the_schedules_are_the_documented_ones():
    assert tuple(SCHEDULES) == ("linear", "exponential", "cosine", "constant")


@settings(deadline=None)
@given(st.sampled_from(MOVING), temperatures, temperatures, st.integers(2, 1000))
def test_a_schedule_goes_from_start_to_end_without_turning(kind, start, end, steps):
    values = [temperature_at(kind, start, end, step, steps) for step in range(steps)]
    assert values[0] == pytest.approx(start)
    assert values[-1] == pytest.approx(end)
    sign = 1 if end >= start else -1
    assert all(sign * (b - a) >= -1e-12 for a, b in itertools.pairwise(values))
    assert all(value > 0 for value in values)


@settings(deadline=None)
@given(temperatures, temperatures, st.integers(1, 500), st.data())
def test_each_schedule_has_its_closed_form(start, end, last, data):
    step = data.draw(st.integers(0, last))
    x = step / last

    def at(kind):
        return temperature_at(kind, start, end, step, last + 1)

    assert at("linear") == pytest.approx((1 - x) * start + x * end)
    assert math.log(at("exponential")) == pytest.approx(
        (1 - x) * math.log(start) + x * math.log(end), abs=1e-9
    )
    half = math.cos(math.pi * x / 2) ** 2  # (1 + cos a) / 2 = cos^2(a / 2)
    assert at("cosine") == pytest.approx(half * start + (1 - half) * end)
    assert at("constant") == start


def test_linear_with_the_published_ends():
    assert temperature_at("linear", 1.0, 0.03, 0, 150) == 1.0
    assert temperature_at("linear", 1.0, 0.03, 149, 150) == pytest.approx(0.03)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_search_of_one_step_has_the_start(kind):
    assert temperature_at(kind, 0.7, 0.1, 0, 1) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("step", "rule"), [(-1, "a whole number, 0 or more"), (5, "from 0 to 4"), (6, "from 0 to 4")]
)
def test_a_step_outside_of_the_search_is_refused(step, rule):
    with pytest.raises(ValueError, match=f"^step must be {rule}, got {step}$"):
        temperature_at("linear", 1.0, 0.03, step, 5)


def test_an_unknown_kind_is_refused_with_the_choices():
    message = "must be one of linear, exponential, cosine, constant, got 'x'$"
    with pytest.raises(ValueError, match=f"^temperature_schedule {message}"):
        check_schedule("x")
    with pytest.raises(ValueError, match=f"^kind {message}"):
        temperature_at("x", 1.0, 0.03, 0, 5)
