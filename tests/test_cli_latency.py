"""``snas-tune latency``: the table that it writes is the one that a search adds up."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from conftest import TINY

from snas_tune.architecture import read_architecture
from snas_tune.cli.app import command_of, main
from snas_tune.config import SearchConfig
from snas_tune.search.search import Search
from snas_tune.space.latency import read_latencies

SPACE = ("--cells", "3", "--channels", "4", "--nodes", "1", "--threads", "1", "--repeats", "1")


def measure(*arguments: str) -> int:
    return main(["latency", *arguments])


@pytest.mark.parametrize(
    ("partial", "shape"),
    [
        (1, ("--data", "digits", "--image-size", "8")),
        (2, ("--image-size=8", "--image-channels=1", "--classes=10", "--partial-channels=2")),
    ],
)
def test_what_the_command_measures_is_what_a_search_of_that_space_adds_up(
    tmp_path, capsys, partial, shape
):
    path = tmp_path / "table.json"
    assert measure(*shape, *SPACE, "--output", str(path)) == 0
    told = capsys.readouterr().out.splitlines()
    line = next(line for line in told if "snas-tune sweep" in line)
    command = command_of(shlex.split(line)[1:])
    asked = command.search_settings(command.recipe())
    wanted = {"cells": 3, "channels": 4, "nodes": 1, "partial_channels": partial}
    if "--data" in shape:  # the sweep reads images of the shape that was measured
        wanted |= {"data": "digits", "image_size": 8}
    assert {name: asked[name] for name in wanted} == wanted
    assert (asked["latency_table"], asked["penalty_costs"]) == (str(path), {"latency_ms": 1})
    table = read_latencies(path)
    config = SearchConfig(
        **TINY,
        partial_channels=partial,
        latency_table=str(path),
        penalty_costs={"latency_ms": 1},
        penalty_strength=0.1,
    )
    search = Search(config)
    report = search.run_epoch()
    skeleton, genotype = search.space.skeleton, read_architecture(report["architecture"])
    layers = [layer.key() for layer in skeleton.layers(skeleton.plan(genotype))]
    assert report["latency_ms"] == pytest.approx(sum(table[key] for key in layers))
    assert report["latency_ms"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "image_size must be given where no data is, got None"),
        (("--image-size", "8"), "image_channels must be given where no data is, got None"),
        (("--data", "nodir"), "data must be a known name (digits, "),
        (("--data", "digits", "--classes", "3"), "classes of digits must be 10, got 3"),
        (("--data", "digits", "--repeats", "0"), "repeats must be a positive whole number, got 0"),
        (("--ops", "none", "warp"), "op must be one of none, "),
        (("--device", "nonsense"), "device must be auto, or one of cpu, cuda"),
        (("--threads", "0"), "threads must be a positive whole number, got 0"),
        (("--output", "file/x.json"), "output must lie in a folder that is there, got file/x.js"),
        (("--output", "typo/x.json"), "output must lie in a folder that is there, got typo/x.js"),
        (("--output", "."), "output must be a file, got the directory ."),
    ],
)
def test_wrong_arguments_of_the_command_give_one_line(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert measure(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
