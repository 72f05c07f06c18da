"""Every parameter of every public function is fed wrong values: one line each, and no more."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import TINY
from front_rows import row
from walk import CASES, Walked, accepted, parameters, public_functions
from walked import MODULES, NOT_WALKED, walked
from walked_settings import WITH_SEARCH

import snas_tune
from snas_tune.front import FrontFile
from snas_tune.search.search import Search
from snas_tune.sweep import cluster, run

MOST_CHARACTERS = 1000
LEAST_CASES = 7000


class Reached(Exception):  # noqa: N818 - not a failure
    """All checks passed."""


def no_sweep(*_: Any, **__: Any) -> None:
    raise Reached


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Walked]:
    return walked(Search(snas_tune.SearchConfig(**TINY)))


@pytest.fixture(autouse=True)
def nothing_long(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No sweep starts, and what is written goes into a folder of its own."""
    folder = tmp_path_factory.mktemp("walk")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run, "prepare", no_sweep)
    monkeypatch.setattr(cluster, "ray", type("Ray", (), {"is_initialized": staticmethod(bool)}))
    monkeypatch.setattr(cluster.ray, "init", no_sweep, raising=False)
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: True)
    FrontFile("front.parquet").add([row()])


def reason(name: str) -> str | None:
    """Why a function is not walked; ``None`` if it is."""
    for why, names in NOT_WALKED.items():
        for each in names:
            inside = name.startswith(each if each.endswith(".") else f"{each}.")
            if name == each or inside:
                return why
    return None


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each public function once, by its shortest way."""
    seen = set()
    for name, function in public_functions(MODULES):
        key = inspect.unwrap(function)
        if key not in seen and reason(name) is None:
            seen.add(key)
            yield name, function


NAMES = [name for name, _ in functions()]


def test_every_parameter_of_every_public_function_has_a_rule(table):
    for name, function in functions():
        assert name in table, f"{name} has no arguments for the walk"
        known = set(table[name].kinds)
        for parameter in parameters(function):
            if parameter.startswith("**"):
                assert any(each.startswith("**") for each in known), f"{name} has no rule for rest"
            else:
                assert parameter in known, f"parameter {parameter} of {name} has no rule"
    assert set(table) == set(NAMES)


def arguments(name: str, walk: Walked, parameter: str, value: Any) -> dict[str, Any]:
    beside = WITH_SEARCH.get(parameter, {}) if name == "SearchConfig" else {}
    return {**walk.base, **beside, parameter.lstrip("*"): value}


def outcome(walk: Walked, given: dict[str, Any]) -> ValueError | None:
    try:
        walk.call(**given)
    except ValueError as error:
        return error
    except Reached:
        pass
    return None


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_value_of_any_parameter_is_refused_in_one_line(table, name):
    walk, faults = table[name], []
    with contextlib.suppress(Reached):
        walk.call(**walk.base)
    for parameter, kind in walk.kinds.items():
        told = walk.told.get(parameter, parameter.lstrip("*"))
        for case, value in CASES.items():
            try:
                error = outcome(walk, arguments(name, walk, parameter, value))
            except Exception as other:
                faults.append(f"{parameter} {case}: {type(other).__name__} {str(other)[:200]}")
                continue
            if error is None:
                if case not in accepted(kind):
                    faults.append(f"{parameter} {case}: taken")
                continue
            text = str(error)
            if "\n" in text or len(text) > MOST_CHARACTERS:
                faults.append(f"{parameter} {case}: {len(text)} characters, {text[:200]!r}")
            elif case not in accepted(kind) and not (told in text and ", got " in text):
                faults.append(f"{parameter} {case}: does not name it: {text}")
    assert not faults, "\n".join(faults)


def test_the_walk_is_as_long_as_it_says(table, record_property):
    count = sum(len(walk.kinds) for walk in table.values())
    cases = count * len(CASES)
    print(f"{len(table)} functions, {count} parameters, {cases} cases")
    record_property("cases", cases)
    assert cases >= LEAST_CASES
