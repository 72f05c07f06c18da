"""Damaged and strange files in the place of what a sweep saved: one line each, and none waits."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from front_rows import row

from snas_tune.front import FrontFile
from snas_tune.stopping import Journal, Judge
from snas_tune.stopping.rules import Asha
from snas_tune.sweep import claim as claims
from snas_tune.sweep.claim import Owner, Taken, claim
from snas_tune.sweep.decisions import check_journal, missing_line
from snas_tune.sweep.directory import begun_trials, can_restore

STATE = "experiment_state-2026-01-0{}_00-00-00.json"

TRIALS = json.dumps({"trial_data": [["{}", "{}"]] * 3})


def written(content: str):
    return lambda path: path.write_text(content)


@pytest.mark.parametrize(
    "make",
    [
        *map(written, ["null", "{}", "[]", "[" * 1_000_000, "", "3", '{"trial_data": 3}']),
        *map(written, ['{"trial_data": [3]}', '{"trial_data": [["{}", null]]}']),
        lambda path: path.write_bytes(b"\xff\xfe"),
        Path.mkdir,
        os.mkfifo,
    ],
)
def test_a_state_that_is_none_is_set_aside_and_the_one_before_it_taken(make, tmp_path, capsys):
    (tmp_path / STATE.format(1)).write_text(TRIALS)
    for day in (2, 3):
        make(tmp_path / STATE.format(day))
    assert can_restore(str(tmp_path))
    said = [
        f"the saved state {STATE.format(day)} of {tmp_path} is damaged: "
        f"it is now damaged-{STATE.format(day)}"
        for day in (3, 2)
    ]
    assert capsys.readouterr().err.splitlines() == said
    assert begun_trials(str(tmp_path)) == 3


def test_the_same_state_is_set_aside_again(tmp_path):
    for _ in range(3):
        (tmp_path / STATE.format(1)).write_text("null")
        assert not can_restore(str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 3


def test_a_pipe_in_the_place_of_the_searcher_is_refused(tmp_path):
    (tmp_path / STATE.format(1)).write_text(TRIALS)
    os.mkfifo(tmp_path / "searcher-state-2026-01-01_00-00-00.pkl")
    with pytest.raises(ValueError, match=r"^saved state searcher-.* must be a regular file$"):
        can_restore(str(tmp_path))


def test_a_pipe_in_the_place_of_the_owner_is_none(tmp_path):
    first = claim(str(tmp_path / "x"))
    (tmp_path / "x" / claims.OWNER).unlink()
    os.mkfifo(tmp_path / "x" / claims.OWNER)
    with pytest.raises(Taken, match="another process has just begun it"):
        claim(str(tmp_path / "x"))
    first.release()


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "h\nx"},
        {"host": 3},
        {"since": "\x1b[2J"},
        {"pid": "1"},
        {"beat": None},
        {"more": 1},
    ],
)
def test_an_owner_that_is_none_is_not_shown(changes, tmp_path):
    first = claim(str(tmp_path / "x"))
    known = asdict(replace(Owner.this(), host="known"))
    (tmp_path / "x" / claims.OWNER).write_text(json.dumps(known))
    with pytest.raises(Taken, match="on host known"):
        claim(str(tmp_path / "x"))
    (tmp_path / "x" / claims.OWNER).write_text(json.dumps({**known, **changes}))
    with pytest.raises(Taken, match=r"another process has just begun it$"):
        claim(str(tmp_path / "x"))
    first.release()


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_journal_of_which_the_end_is_missing_says_so(lost, tmp_path, capsys):
    settings, levels = {"rule": "pareto"}, (3, 9)
    journal = Journal(str(tmp_path / "scheduler"), {"experiment": "e", **settings})
    front = FrontFile(str(tmp_path / "front.parquet"))
    judge = Judge((*levels, 27), 1, Asha(2))
    for i in range(50):
        journal.add(judge.report(f"key {i}", 3, [50.0 - i])[1])
    front.add([row(trial=f"t{i}", epoch=epoch) for i in range(50) for epoch in (2, 3, 4)])
    check_journal(str(tmp_path), settings, levels)
    assert capsys.readouterr().err == ""
    lost(tmp_path / "scheduler" / "journal-000001.jsonl")
    check_journal(str(tmp_path), settings, levels)
    assert capsys.readouterr().err == (
        f"journal of {tmp_path}: 18 of the 50 trials with children from epoch 3 on have no "
        "decision there: its end is missing, and the rule goes on without it\n"
    )


def test_a_trial_that_its_last_rung_ends_lacks_no_decision():
    judge = Judge((3, 9, 27), 1, Asha(2))
    lines = [judge.report("a", epoch, [1.0])[1] for epoch in (3, 9, 27)]
    measured = [("t", epoch) for epoch in range(1, 28)]
    assert missing_line((3, 9, 27), lines, measured) == ""
    assert missing_line((3, 9, 27), [*lines[:2], {"no": "rung"}], measured).startswith(
        "1 of the 1 "
    )
    assert missing_line((3, 9, 27), lines[:2], measured[:-1]) == ""
    assert missing_line((3, 9, 27), [], []) == ""
