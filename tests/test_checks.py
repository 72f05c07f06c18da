"""Checks beside the fields of a dataclass."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, make_dataclass
from typing import Annotated

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snas_tune.checks import COUNT, FLAG, POSITIVE, SHARE, TEXT, at_least, check_fields, choice

NUMBERS = (POSITIVE, SHARE, COUNT, at_least(2))
NO_NUMBERS = ("1", None, [1], {}, math.nan, math.inf, True, np.ones(2), 1j)


@dataclass(frozen=True)
class Settings:
    rate: Annotated[float, "hertz", POSITIVE] = 0.1
    steps: Annotated[int | None, COUNT] = None
    name: Annotated[str, TEXT] | None = None
    kind: Annotated[str, choice(("a", "b"))] = "a"
    even: Annotated[int, COUNT, at_least(2)] = 2
    free: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class More(Settings):
    flag: Annotated[bool, FLAG] = False


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": -1.0}, "rate must be positive, got -1.0"),
        ({"rate": None}, "rate must be positive, got None"),
        ({"rate": "fast"}, "rate must be positive, got 'fast'"),
        ({"steps": 0}, "steps must be a positive whole number, got 0"),
        ({"name": ""}, "name must be a text, got ''"),
        ({"kind": "c"}, "kind must be one of a, b, got 'c'"),
        ({"kind": np.ones(2)}, r"kind must be one of a, b, got array\(\[1., 1.\]\)"),
        ({"even": 1}, "even must be a whole number, 2 or more, got 1"),
        ({"even": 0}, "even must be a positive whole number, got 0"),
        ({"flag": 1}, "flag must be true or false, got 1"),
    ],
)
def test_a_field_that_fails_its_check_is_named_with_the_demand_and_the_value(values, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        More(**values)


def test_fields_that_pass_their_checks_and_fields_without_one_pass():
    for values in ({}, {"steps": 3, "name": "x"}, {"steps": None, "name": None}, {"free": "any"}):
        assert More(**values) == More(**values)


@pytest.mark.parametrize("check", NUMBERS, ids=lambda check: check.demand)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_a_value_that_is_no_finite_number_fails_every_check_of_numbers_without_another_error(
    check, value
):
    one = make_dataclass("One", [("value", Annotated[object, check])])
    with pytest.raises(ValueError, match=r"^value must be .*, got "):
        check_fields(one(value))


@example(10**400)  # no float
@given(st.one_of(st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers())))
def test_positive_is_every_finite_number_above_0_and_nothing_else(value):
    plain = isinstance(value, (int, float)) and 0 < value < math.inf
    try:
        check_fields(Settings(rate=value))
    except ValueError as error:
        message = str(error)
        assert re.fullmatch(r"rate must be positive( and (finite|below 2\*\*63))?, got .*", message)
        assert "\n" not in message
        assert len(message) < 120
        assert not plain or value > 1e308
    else:
        assert plain
