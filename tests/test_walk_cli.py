"""Every flag of every command is fed wrong words: exit status 2, and one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from walk import KINDS

from snas_tune.cli import app
from snas_tune.cli.latency import Latency, latency_command
from snas_tune.cli.log import Log
from snas_tune.cli.sweep import sweep_command
from snas_tune.cli.take import Take
from snas_tune.sweep import run

WORDS = {
    "empty text": "",
    "text": "text",
    "NaN": "nan",
    "infinity": "1e400",
    "-1": "-1",
    "0": "0",
    "1.5": "1.5",
    "10**400": "9" * 400,
    "two lines": "a\nb",
    "huge text": "x" * 20_000,
}
TEXT = {*WORDS}
FAST = ("text", "-1", "huge text")
"""Those that are fed always; a word costs a whole command's start."""

TAKEN: dict[str, set[str]] = {
    **{kind: KINDS[kind] for kind in ("count", "whole", "positive", "not negative", "share")},
    "path": {"text", "NaN", "infinity", "-1", "0", "1.5"},
    "none": set(),
    "checked later": TEXT,
}
FLAGS = {
    "sweep": {
        "target_mflops": "positive",
        "data": "path",
        "data_root": "path",
        "image_size": "none",
        "limit_images": "count",
        "epochs": "count",
        "batch_size": "none",
        "partial_channels": "none",
        "trials": "count",
        "concurrent": "count",
        "cpus_per_trial": "not negative",
        "gpus_per_trial": "0",
        "reduction_factor": "1.5",
        "grace_period": "count",
        "seed": "whole",
        "checkpoint_every": "count",
        "keep_checkpoints": "count",
        "max_failures": "whole",
        "machines": "count",
        "name": "path",
        "storage_path": "path",
        "preset": "none",
        "config": "none",
        "set": "none",
        "fit": "none",
        "bad_images": "none",
        "sampling": "none",
        "supernet": "none",
        "precision": "none",
        "searcher": "none",
        "rule": "none",
        "address": "none",
    },
    "take": {
        "max_mflops": "checked later",
        "pick": "checked later",
        "epochs": "whole",
        "learning_rate": "positive",
        "drop_path": "share",
        "data": "checked later",
        "data_root": "checked later",
        "device": "checked later",
        "seed": "whole",
        "export": "none",
        "pixels": "none",
    },
    "latency": {
        "data": "path",
        "classes": "count",
        "repeats": "count",
        "output": "checked later",
        "cells": "none",
        "channels": "none",
        "nodes": "count",
        "stem": "none",
        "device": "none",
        "threads": "count",
    },
}
"""The kind of the value of each flag."""

WITH = {
    "sweep": (),
    "take": ("nowhere", "--pick", "a:1"),
    "latency": ("--image-size", "8", "--image-channels", "1", "--classes", "2"),
}
SWITCHES = {"flip", "resume", "penalty", "new_weights"}
"""Flags without one value."""


class Reached(Exception):  # noqa: N818 - not a failure
    """All words were understood."""


@pytest.fixture(autouse=True)
def nothing_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise Reached

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "claim_of", stop)
    monkeypatch.setattr("snas_tune.sweep.directory.claim_new", stop)
    monkeypatch.setattr(Latency, "layers", stop)


def commands() -> dict[str, type]:
    return {"sweep": sweep_command(())[0], "take": Take, "latency": latency_command()}


def test_every_flag_of_every_command_has_a_kind():
    known = {"own_space", "space", "ops_module", "ops", "image_channels", "image_size", "sweep"}
    for command, kind in commands().items():
        for field in dataclasses.fields(kind):
            of_search = command == "latency" and field.name in FLAGS["sweep"]
            named = field.name in FLAGS[command] or field.name in SWITCHES | known
            assert named or of_search or field.type is bool, f"{command} --{field.name} has no kind"
    assert [field.name for field in dataclasses.fields(Log)] == ["sweeps", "logdir"]


@pytest.mark.parametrize("command", FLAGS)
def test_a_wrong_word_behind_any_flag_is_one_line_and_status_two(command, capsys):
    walk(command, FAST, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("command", FLAGS)
def test_every_wrong_word_behind_any_flag_is_one_line_and_status_two(command, capsys):
    walk(command, tuple(WORDS), capsys)


def walk(command: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    faults = []
    for flag, kind in FLAGS[command].items():
        for case in words:
            word = WORDS[case]
            given = [command, *WITH[command], f"--{flag.replace('_', '-')}={word}"]
            try:
                status = app.main(given)
            except Reached:
                status = 0
            except Exception as error:
                faults.append(f"{flag} {case}: {type(error).__name__} {str(error)[:200]}")
                continue
            text = capsys.readouterr().err
            if status == 0 and case not in TAKEN.get(kind, {kind}):
                faults.append(f"{flag} {case}: taken")
            elif status and not (status == 2 and text.startswith("error: ")):
                faults.append(f"{flag} {case}: status {status}, {text[:200]!r}")
            elif status and (text.count("\n") != 1 or len(text) > 1000):
                faults.append(f"{flag} {case}: {len(text)} characters, {text[:200]!r}")
    assert not faults, "\n".join(faults)
