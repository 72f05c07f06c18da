"""Every parameter of every public function is fed wrong values: one line each, and no more."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY
from front_rows import row
from walk import CASES, Walked, accepted, parameters, public_functions
from walked import MODULES, NOT_WALKED, walked
from walked_settings import WITH_SEARCH

import snas_tune
from snas_tune.front import FrontFile
from snas_tune.search.search import Search
from snas_tune.space.latency import write_latencies
from snas_tune.sweep import cluster, run

MOST_CHARACTERS = 1000
LEAST_CASES = 7000


class Reached(Exception):  # noqa: N818 - not a failure
    """All checks passed."""


def no_sweep(*_: Any, **__: Any) -> None:
    raise Reached


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walk")


@pytest.fixture(scope="module")
def table(folder: Path) -> dict[str, Walked]:
    search = Search(snas_tune.SearchConfig(**TINY))
    FrontFile(str(folder / "front.parquet")).add([row()])
    snas_tune.save_search(search, folder / "saved")
    write_latencies(folder / "t.json", {"layer": 0.5})
    return walked(search)


@pytest.fixture(autouse=True)
def nothing_long(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No sweep starts, and what is written goes into a folder of its own."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run, "prepare", no_sweep)
    monkeypatch.setattr(torch.export, "export", no_sweep)
    monkeypatch.setattr(cluster, "ray", type("Ray", (), {"is_initialized": staticmethod(bool)}))
    monkeypatch.setattr(cluster.ray, "init", no_sweep, raising=False)
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: True)


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
        if key not in seen:
            seen.add(key)
            if reason(name) is None:
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


def says(text: str, parameter: str, told: Mapping[str, str]) -> bool:
    """Whether a message names its parameter and the value."""
    if told.get(parameter, "\n") in text:
        return True
    return parameter.lstrip("*") in text and ", got " in text


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
        if kind == "anything":
            continue
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
            elif case not in accepted(kind) and not says(text, parameter, walk.told):
                faults.append(f"{parameter} {case}: does not name it: {text}")
    assert not faults, "\n".join(faults)


def test_the_walk_is_as_long_as_it_says(table, record_property):
    count = sum(len(walk.kinds) for walk in table.values())
    cases = count * len(CASES)
    print(f"{len(table)} functions, {count} parameters, {cases} cases")
    record_property("cases", cases)
    assert cases >= LEAST_CASES
