"""What the command does with odd values of ``--set``, twice the same key, and no reader."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from snas_tune.cli import app, exits
from snas_tune.cli.recipe import read_recipe, read_yaml


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("penalty_strength=", "penalty_strength must be a value or a range, got None"),
        ("penalty_strength={}", r"penalty_strength must be a value or a range, got \{\}"),
        ("temperature_schedule=[]", r"temperature_schedule must be a value or a range, got \[\]"),
        ("ops=" + "[" * 5000, "value of ops must be YAML, got"),
        ("penalty_costs={flops: 1, flops: 2}", "value of penalty_costs must be YAML, got"),
    ],
)
def test_a_value_that_is_none_is_refused_by_its_own_name(assignment, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        read_recipe(assignments=[assignment])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_key_that_comes_twice_is_refused(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("search:\n  epochs: 3\n  epochs: 4\n")
    with pytest.raises(ValueError, match=r"sweep.yaml cannot be read: .*'epochs' twice") as caught:
        read_recipe(file=path)
    assert "\n" not in str(caught.value)
    path.write_text("search: {epochs: 3}\nsearch: {cells: 4}\n")
    with pytest.raises(ValueError, match="'search' twice"):
        read_recipe(file=path)
    assert read_yaml("{a: {b: 1}, b: {b: 2}}") == {"a": {"b": 1}, "b": {"b": 2}}


def test_a_preset_of_no_name_is_not_the_default():
    with pytest.raises(ValueError, match="preset must be one of demo, small, paper, got ''"):
        read_recipe(preset="")


def test_a_reader_that_goes_away_ends_the_command_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "snas_tune", "settings"]
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (exits.CLOSED, "")


def test_help_without_a_reader_is_quiet_as_well(monkeypatch):
    def gone(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(app, "command_of", gone)
    assert app.main(["settings"]) == exits.CLOSED
