"""The lines that end a sweep: the child that they name is one that has learnt something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from front_points import BASE, row

from snas_tune.cli.sweep import child_to_take, show
from snas_tune.front import ParetoFront
from snas_tune.sweep.result import SweepResult

RECORD = {"classes": ["cat", "dog", "owl"], "counts": [20, 60, 20]}


def shown_line(rows, path: Path, capsys) -> str:
    """The line that names a child; empty if there is none."""
    front = ParetoFront.from_rows(rows)
    show(SweepResult(str(path), front, {}, trials=2, ended=2, largest_flops=2e6), "x")
    lines = capsys.readouterr().out.splitlines()
    return next((line for line in lines if line.startswith("take a child")), "")


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> dict[str, list]:
    found = dict(RECORD)
    monkeypatch.setattr("snas_tune.sweep.recorded.recorded_images", lambda path: found)
    return found


def children(*triples):
    """Rows of (accuracy, FLOPs, whether its checkpoint is kept)."""
    return [
        row(accuracy, flops, epoch=i, checkpoint=f"a/{i}" if kept else None)
        for i, (accuracy, flops, kept) in enumerate(triples)
    ]


def test_the_most_accurate_child_that_is_kept_is_named(record, tmp_path, capsys):
    rows = children(
        (0.6, 0, True), (0.7, 400_000, True), (0.8, 700_001, True), (0.9, 1_000_000, False)
    )
    line = shown_line(rows, tmp_path, capsys)
    assert line == f"take a child  snas-tune take {tmp_path} --max-mflops 0.701"
    assert ParetoFront.from_rows(rows[:3]).best(max_flops=0.701e6)["epoch"] == 2


def test_no_child_is_named_that_always_gives_one_answer(record, tmp_path, capsys):
    assert shown_line(children((0.5, 0, True), (0.6, 9, True)), tmp_path, capsys) == ""
    assert shown_line(children((0.6, 0, True), (0.7, 9, False)), tmp_path, capsys) == ""


def test_balanced_accuracy_is_compared_with_its_own_share(record, tmp_path, capsys):
    config = json.dumps({**json.loads(BASE["config"]), "metric": "balanced_accuracy"})
    rows = [{**each, "config": config} for each in children((0.3, 0, True), (0.5, 9000, True))]
    assert shown_line(rows, tmp_path, capsys).endswith(" --max-mflops 0.009")


def test_without_a_record_a_child_must_beat_the_cheapest(tmp_path, capsys):
    rows = children((0.5, 0, True), (0.6, 9000, True))
    assert shown_line(rows, tmp_path, capsys).endswith(" --max-mflops 0.009")
    assert shown_line(rows[:1], tmp_path, capsys) == ""


def test_a_child_within_its_target_comes_first():
    config = json.dumps({**json.loads(BASE["config"]), "target_flops": 5000})
    rows = [{**each, "config": config} for each in children((0.5, 4000, True), (0.9, 9000, True))]
    assert child_to_take(rows, 0.2) == rows[0]
    assert child_to_take(rows, 0.5) == rows[1]
