"""A user's module that ends the program, or fails in any way, is one line."""

from __future__ import annotations

import sys

import pytest
from conftest import TINY

from snas_tune.config import SearchConfig
from snas_tune.data import check
from snas_tune.imports import import_named
from snas_tune.search.methods.table import method_class
from snas_tune.space.cell.ops import import_ops
from snas_tune.space.space import space_class
from snas_tune.sweep import sweep_space
from snas_tune.sweep.prepare import check_settings

BODIES = {
    "exits": ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
    "stops": (
        "class Stop(BaseException): pass\nraise Stop('enough\\nof it')\n",
        "Stop: enough of it",
    ),
    "generator": ("raise GeneratorExit\n", "GeneratorExit"),
    "syntax": ("def f(:\n", "SyntaxError: "),
    "recursion": ("def f(): f()\nf()\n", "RecursionError: "),
    "long": ("raise ValueError('x' * 10**6)\n", "ValueError: xxx"),
}


@pytest.fixture(params=BODIES)
def module(request, tmp_path, monkeypatch):
    body, reason = BODIES[request.param]
    name = f"user_{request.param}"
    (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop(name, None)
    return name, reason


@pytest.mark.parametrize("setting", ["ops_module", "space", "method", "data"])
def test_a_module_that_fails_in_any_way_is_one_line(module, setting):
    name, reason = module
    ways = {
        "ops_module": lambda: import_ops(name),
        "space": lambda: space_class(f"{name}:Space"),
        "method": lambda: method_class(f"{name}:Method"),
        "data": lambda: check(f"{name}:data", root="data"),
    }
    with pytest.raises(ValueError, match="must be importable, got ") as caught:
        ways[setting]()
    assert reason.rstrip() in str(caught.value)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_sweep_with_a_module_that_exits_is_refused_before_any_trial(tmp_path, monkeypatch):
    (tmp_path / "user_ends.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"^ops_module must be importable, got 'user_ends' \(Sys"):
        check_settings(sweep_space(**TINY, ops_module="user_ends"))


def test_ctrl_c_during_an_import_is_no_fault_of_the_module(tmp_path, monkeypatch):
    (tmp_path / "user_ctrl_c.py").write_text("raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        import_named("space", "user_ctrl_c")


def test_a_module_that_is_fine_is_imported():
    assert import_named("space", "snas_tune.config:SearchConfig") is SearchConfig
