"""A scheduler that goes on: its journal, other settings, a second sweep, damage and loss."""

from __future__ import annotations

import pickle
import re

import pytest
from front_rows import row as front_row
from stub_trials import Never, Storage, scheduler, told, trial

from snas_tune.config import SearchConfig
from snas_tune.front import FILE_NAME, FrontFile
from snas_tune.sweep.decisions import check_journal
from snas_tune.sweep.scheduler import make_scheduler

NAN = float("nan")


def test_a_resumed_experiment_goes_on_and_a_new_one_starts_anew(tmp_path):
    first = scheduler()
    first.on_trial_add(None, trial(0, storage=Storage(tmp_path)))
    answers = [told(first, trial(i), 3, 0.5 + i / 100, 5) for i in (3, 2, 1, 4)]
    assert answers == ["CONTINUE", "STOP", "STOP", "CONTINUE"]
    resumed = scheduler()
    resumed.on_trial_add(None, trial(7, storage=Storage(tmp_path)))
    resumed.on_trial_add(None, trial(8, storage=Storage(tmp_path)))
    assert resumed.judge.lines == first.judge.lines
    # The same trial under a new identifier, as Tune had not saved it before it was killed.
    again = trial(2)
    again.trial_id = "another"
    assert told(resumed, again, 3, 0.99, 5) == "STOP"
    unpickled = pickle.loads(pickle.dumps(first))  # as Tuner.restore has it: from the start
    told(first, trial(5), 3, 0.4, 5)
    unpickled.on_trial_add(None, trial(9, storage=Storage(tmp_path)))
    assert unpickled.judge.lines == first.judge.lines
    new = scheduler()
    new.on_trial_add(None, trial(0, storage=Storage(tmp_path, "2027")))
    assert new.judge.lines == []
    told(new, trial(0), 3, 0.5, 5)
    assert (tmp_path / "scheduler/journal-000000.jsonl.other").exists()


def journal_of(path):
    return path / "scheduler/journal-000000.jsonl"


def begun(path, count=4):
    to = scheduler()
    to.on_trial_add(None, trial(0, storage=Storage(path)))
    for i in range(count):
        told(to, trial(i), 3, 0.5 - i / 100, 5)
    return to


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "pareto"}, 'rule must be "asha" as in the sweep to resume, got "pareto"'),
        ({"max_t": 81}, "max_t must be 27 as in the sweep to resume, got 81"),
        ({"reduction_factor": 2}, "reduction_factor must be 3 as in the sweep to resume, got 2"),
        ({"metrics": {"a": "min", "b": "max"}}, r'metrics must be \["child_accuracy", "flops"\]'),
    ],
)
def test_a_resume_with_other_settings_is_refused_and_the_journal_stays(
    tmp_path, changes, message, capsys
):
    begun(tmp_path)
    before = journal_of(tmp_path).read_bytes()
    other = scheduler(**changes)
    other.on_trial_add(None, trial(0, storage=Storage(tmp_path)))  # which must not raise
    assert re.search(message, capsys.readouterr().err)
    with pytest.raises(ValueError, match=message):
        other.choose_trial_to_run(None)
    told(other, trial(8), 3, 0.5, 5, a=1, b=1)
    assert journal_of(tmp_path).read_bytes() == before


def test_one_object_in_a_second_sweep_begins_anew(tmp_path):
    to = begun(tmp_path / "first")
    for at in (Storage(tmp_path / "second"), Storage(tmp_path / "second", "2027")):
        to.on_trial_add(None, trial(0, storage=at))
        assert (to.judge.lines, len(to.judge.history.rungs[0])) == ([], 0)
        told(to, trial(0), 3, 0.1, 5)
        assert len(journal_of(tmp_path / "second").read_text().splitlines()) == 2
    assert len(journal_of(tmp_path / "first").read_text().splitlines()) == 5
    back = pickle.loads(pickle.dumps(to))
    back.on_trial_add(None, trial(0, storage=Storage(tmp_path / "first")))
    assert len(back.judge.lines) == 4


def test_a_damaged_journal_is_kept_beside_and_read_as_far_as_it_goes(tmp_path, capsys):
    first = begun(tmp_path)
    damaged = journal_of(tmp_path).read_bytes() + b"\0" * 80 + b"\n"
    journal_of(tmp_path).write_bytes(damaged)
    again = scheduler()
    again.on_trial_add(None, trial(7, storage=Storage(tmp_path)))
    assert again.judge.lines == first.judge.lines
    (line,) = capsys.readouterr().err.splitlines()
    assert "1 line of journal-000000.jsonl cannot be read; kept as" in line
    assert (tmp_path / "scheduler/journal-000000.jsonl.damaged").read_bytes() == damaged
    assert again.choose_trial_to_run(Controller([])) is None


class Controller:
    """The part of Tune's that picks a trial."""

    def __init__(self, trials):
        self.trials = trials

    def get_trials(self):
        return self.trials


def restored(number, path, epoch):
    made = trial(number, storage=Storage(path))
    made.run_metadata.last_result = {"epoch": epoch}
    return made


@pytest.mark.parametrize("how", ["newer", "gone", "foreign", "unreadable"])
def test_a_restored_trial_whose_decisions_are_lost_ends_the_sweep_at_its_next_step(tmp_path, how):
    begun(tmp_path)
    file = journal_of(tmp_path)
    if how == "newer":
        file.write_text('{"format": 7}\n')
    elif how == "unreadable":
        file.write_bytes(b"\0" * 300 + b"\n")
    elif how == "gone":
        file.unlink()
    before = file.read_bytes() if file.exists() else None
    to = scheduler()
    for i in range(3):  # Tune adds all of them, and none may be lost
        back = restored(i, tmp_path, 3 * i)
        back.storage._timestamp = "1999" if how == "foreign" else "2026"
        to.on_trial_add(None, back)
    with pytest.raises(ValueError, match=r"^journal .* must .*$"):
        to.choose_trial_to_run(None)
    assert (file.read_bytes() if file.exists() else None) == before
    if how == "gone":
        kept = scheduler(rule="fifo")  # which has no decisions to lose
        kept.on_trial_add(None, restored(0, tmp_path, 9))
        assert kept.choose_trial_to_run(Controller([])) is None


def test_a_trial_that_waits_for_a_value_may_fail_and_be_added_again(tmp_path):
    to = scheduler()
    back = restored(0, tmp_path, 0)
    to.on_trial_add(None, back)
    told(to, back, 1, NAN, 1)
    told(to, back, 3, None, 1)
    back.run_metadata.last_result = {"epoch": 3}
    to.on_trial_add(None, back)
    assert to.choose_trial_to_run(Controller([])) is None


def test_a_sweeps_journal_is_checked_before_tune_starts(tmp_path):
    rows = [front_row(trial=f"t{i}", epoch=3 + i) for i in range(3)]
    settings = make_scheduler(SearchConfig(epochs=27)).settings
    check_journal(str(tmp_path), settings, (3, 9))
    FrontFile(str(tmp_path / FILE_NAME)).add(rows)
    check_journal(str(tmp_path), settings, (9,))
    check_journal(str(tmp_path), {**settings, "rule": "fifo"}, (3,))
    with pytest.raises(ValueError, match=r"journal of .* must hold the decisions so far, got none"):
        check_journal(str(tmp_path), settings, (3, 9))
    to = make_scheduler(SearchConfig(epochs=27))
    to.on_trial_add(None, trial(0, storage=Storage(tmp_path)))
    told(to, trial(0), 3, 0.5, 5)
    check_journal(str(tmp_path), settings, (3, 9))
    with pytest.raises(ValueError, match="max_t must be 27 as in the sweep to resume, got 9"):
        check_journal(str(tmp_path), {**settings, "max_t": 9}, (3,))
    journal_of(tmp_path).write_text('{"format": 7}\n')
    with pytest.raises(ValueError, match=r"^journal .*: format of .* must be 1 or 2, got 7$"):
        check_journal(str(tmp_path), settings, (3, 9))


def test_a_decision_stands_when_the_storage_is_away(tmp_path, capsys):
    to = scheduler(rule=Never())
    to.on_trial_add(None, trial(0, storage=Storage(tmp_path)))
    (tmp_path / "scheduler").write_text("in the way")
    assert told(to, trial(1), 3, 0.5, 5) == "STOP"
    assert told(to, trial(2), 3, 0.5, 5) == "STOP"
    said = capsys.readouterr().err
    assert said.count("the journal waits for its storage") == 1
    (tmp_path / "scheduler").unlink()
    told(to, trial(3), 3, 0.5, 5)
    later = scheduler(rule=Never())
    later.on_trial_add(None, trial(9, storage=Storage(tmp_path)))
    assert len(later.judge.lines) == 3
