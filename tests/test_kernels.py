"""The bindings of the kernels: a missing compiler, structures that differ from C++."""

from __future__ import annotations

import ctypes

import pytest
import torch

from snas_tune.space.cell.kernels import bindings


def test_without_a_compiler_the_reason_is_logged_once_and_torch_computes(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("SNAS_TUNE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    bindings.library.cache_clear()
    try:
        assert not bindings.available(torch.device("cpu"), torch.float32)
        assert not bindings.available(torch.device("cpu"), torch.float32)
    finally:
        bindings.library.cache_clear()
    assert len(caplog.records) == 1
    assert "none of c++, g++, clang++ is installed" in caplog.records[0].getMessage()


def test_a_structure_of_another_size_is_refused_when_the_library_loads(monkeypatch):
    class Branch(ctypes.Structure):
        _fields_ = bindings.Branch._fields_[:-1]

    others = [each for each in bindings.STRUCTURES if each is not bindings.Branch]
    monkeypatch.setattr(bindings, "STRUCTURES", (*others, Branch))
    size = ctypes.sizeof(bindings.Branch)
    bindings.library.cache_clear()
    try:
        rule = f"^Branch must have the {size} bytes that it has in C\\+\\+, got {size - 8}$"
        with pytest.raises(TypeError, match=rule):
            bindings.available(torch.device("cpu"), torch.float32)
    finally:
        bindings.library.cache_clear()


def test_a_structure_whose_fields_changed_places_is_refused(monkeypatch):
    class Input(ctypes.Structure):
        _fields_ = bindings.Input._fields_[::-1]

    others = [each for each in bindings.STRUCTURES if each is not bindings.Input]
    monkeypatch.setattr(bindings, "STRUCTURES", (*others, Input))
    rule = r"^field of Input must be value:0 \(name:byte\) as in C\+\+, got grad:0$"
    with pytest.raises(TypeError, match=rule):
        bindings.check_layouts(bindings.library())
