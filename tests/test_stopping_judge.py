"""Reports that repeat, skip, lag or lack a value; the journal; the Tune scheduler over both."""

from __future__ import annotations

import json
import math
import pickle

import pyarrow.fs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from snas_tune.config import SearchConfig
from snas_tune.stopping import Journal, Judge, journal, make_rule
from snas_tune.stopping.rules import Asha
from snas_tune.sweep.scheduler import ParetoScheduler, make_scheduler, trial_key

NAN = math.nan


class Never:
    """Stops every trial."""

    def __call__(self, history, report):
        return False


def judge(rule=None):
    return Judge((3, 9, 27), 2, rule or Asha(2))


def decisions(to, reports):
    return [to.report(*report)[0] for report in reports]


def test_a_trial_is_judged_at_a_rung_and_at_no_other_time():
    to = judge(Never())
    assert decisions(to, [("a", 1, (1, 1)), ("a", 2, (1, 1))]) == [True, True]
    assert decisions(to, [("a", 3, (1, 1))]) == [False]
    assert len(to.history.rungs[0]) == 1


def test_a_report_that_skips_rungs_counts_for_the_highest_of_them():
    to = judge()
    to.report("a", 10, (1, 1))
    assert [len(rung) for rung in to.history.rungs] == [0, 1, 0]
    assert to.report("a", 4, (0, 0)) == (True, None)  # late: it was beyond that rung
    assert [len(rung) for rung in to.history.rungs] == [0, 1, 0]


def test_a_value_that_is_not_known_waits_for_the_next_report():
    to = judge(Never())
    waiting = [("a", 3, (NAN, 1)), ("a", 4, (1, math.inf)), ("a", 5, (1, NAN))]
    assert decisions(to, waiting) == [True] * 3
    assert decisions(to, [("a", 6, (1, 1))]) == [False]


def test_repeated_reports_get_the_first_answer_whatever_they_say():
    to = judge(Asha(2))
    assert decisions(to, [("a", 3, (1, 1)), ("b", 3, (2, 1)), ("c", 3, (0, 1))]) == [
        True,
        False,
        True,
    ]
    before = list(to.lines)
    # Each was restored from a checkpoint before the rung; b would now be the best.
    assert decisions(to, [("a", 3, (9, 9)), ("b", 2, (0, 0))]) == [True, True]
    assert decisions(to, [("b", 3, (-5, 0)), ("b", 4, (-5, 0)), ("b", 27, (-5, 0))]) == [False] * 3
    assert to.lines == before


def test_at_the_end_a_trial_ends_and_is_not_counted_as_stopped():
    to = judge(Asha(2))
    assert to.report("a", 27, (1, 1))[0] is False
    assert to.history.stopped == {}
    assert len(to.history.rungs[-1]) == 1
    assert to.finish("a", (1, 1)) is None  # Tune completes it then
    assert to.finish("b", (2, 2))["rung"] == 2  # ended by itself, early
    assert to.finish("c", (NAN, 2)) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.integers(1, 30),
            st.tuples(st.sampled_from([0.0, 1.0, 2.0, NAN]), st.integers(0, 3).map(float)),
            st.sampled_from([0.0, 1.0, 2.5, NAN]),
        ),
        max_size=60,
    ),
    st.integers(0, 60),
    st.sampled_from(["pareto", "hopeless", "mo-asha", "asha", "asha-scalar", "fifo"]),
)
def test_a_judge_that_replays_a_journal_decides_as_the_first_one_would(reports, cut, name):
    whole = judge(make_rule(name, 3))
    expected = [whole.report(*report) for report in reports]
    first = judge(make_rule(name, 3))
    decisions(first, reports[:cut])
    second = judge(make_rule(name, 3))
    second.replay(json.loads(json.dumps(first.lines)))
    assert [second.report(*report) for report in reports[cut:]] == expected[cut:]
    assert second.lines == whole.lines
    # After a crash the last reports before it come again, and change nothing.
    third = judge(make_rule(name, 3))
    third.replay(first.lines)
    decisions(third, reports[max(0, cut - 5) :])
    assert third.lines[: len(first.lines)] == first.lines


def test_a_line_that_is_no_report_is_refused():
    with pytest.raises(
        ValueError, match=r"line of the journal must be a report, got \{'trial': 'a'\}"
    ):
        judge().replay([{"trial": "a"}])


HEAD = {"experiment": "e"}


def test_a_journal_keeps_every_line_across_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 4)
    path = str(tmp_path / "x/journal")
    written = Journal(path, HEAD)
    for i in range(11):
        assert Journal(path, HEAD).lines == [{"i": j} for j in range(i)]
        written.add({"i": i})
    files = sorted((tmp_path / "x/journal").iterdir())
    assert [len(file.read_text().splitlines()) for file in files] == [5, 5, 4]
    again = Journal(path, HEAD)
    again.add({"i": 11})
    assert Journal(path, HEAD).lines == [{"i": j} for j in range(12)]


def test_a_last_file_that_no_disk_got_is_as_if_it_were_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 2)
    written = Journal(str(tmp_path), HEAD)
    for i in range(3):
        written.add({"i": i})
    (tmp_path / "journal-000001.jsonl").write_bytes(b"")
    again = Journal(str(tmp_path), HEAD)
    assert again.lines == [{"i": 0}, {"i": 1}]
    again.add({"i": 9})
    assert Journal(str(tmp_path), HEAD).lines == [{"i": 0}, {"i": 1}, {"i": 9}]


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_line_that_a_crash_cut_off_is_none(tmp_path, cut):
    written = Journal(str(tmp_path), HEAD)
    for i in range(3):
        written.add({"i": i})
    file = tmp_path / "journal-000000.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    again = Journal(str(tmp_path), HEAD)
    assert again.lines == [{"i": 0}, {"i": 1}]
    again.add({"i": 9})
    again.add({"i": 10})
    assert Journal(str(tmp_path), HEAD).lines == [{"i": 0}, {"i": 1}, {"i": 9}, {"i": 10}]


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_a_write_that_fails_halfway_leaves_no_half_line(tmp_path, lines, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 4)
    written = Journal(str(tmp_path), HEAD)
    for i in range(lines):
        written.add({"i": i})

    class Full:
        def write(self, content):
            with max(tmp_path.iterdir()).open("ab") as file:
                file.write(content[: len(content) // 2])
            raise OSError("no space left")

    written._open = Full()
    with pytest.raises(OSError, match="no space left"):
        written.add({"i": lines})
    assert Journal(str(tmp_path), HEAD).lines == [{"i": i} for i in range(lines)]
    written.add({"i": lines + 1})
    assert Journal(str(tmp_path), HEAD).lines == [{"i": i} for i in range(lines + 2)]


def test_another_experiments_journal_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT", 2)
    old = Journal(str(tmp_path), HEAD)
    for i in range(7):
        old.add({"i": i})
    new = Journal(str(tmp_path), {"experiment": "f"})
    assert new.lines == []
    for i in range(2):  # a whole file, behind which lie old ones
        new.add({"new": i})
    assert Journal(str(tmp_path), {"experiment": "f"}).lines == [{"new": 0}, {"new": 1}]


def test_what_the_storage_did_not_take_goes_with_the_next_line(tmp_path):
    path = tmp_path / "j"
    kept = Journal(str(path), HEAD)
    path.write_text("in the way")
    with pytest.raises(OSError, match=r"in the way|exists|directory"):
        kept.add({"i": 0})
    path.unlink()
    kept.add({"i": 1})
    assert Journal(str(path), HEAD).lines == [{"i": 0}, {"i": 1}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{\n", "Expecting"),
        ('{"format": 2}\n', "format must be at most 1"),
        ("[]\n", "list"),
        ('{"head": 1}\n', "format must be at most 1"),
    ],
)
def test_a_journal_that_cannot_be_read_is_named(text, reason, tmp_path):
    (tmp_path / "journal-000000.jsonl").write_text(text)
    with pytest.raises(
        ValueError, match=rf"journal .* must be one of this version, got .*{reason}"
    ):
        Journal(str(tmp_path), HEAD)


class Storage:
    """The parts of Tune's storage that the scheduler reads."""

    def __init__(self, path, stamp="2026"):
        self.experiment_fs_path = str(path)
        self.storage_filesystem = pyarrow.fs.LocalFileSystem()
        self._timestamp = stamp


def trial(number, strength=1.0, storage=None):
    made = Trial("x", config={"penalty_strength": strength}, stub=True, trial_id=f"id{number}")
    made.experiment_tag = f"{number}_tag"
    made.storage = storage
    return made


def test_a_trial_keeps_its_key_and_another_config_is_another_trial():
    first, again, other = trial(3), trial(3), trial(3)
    again.trial_id = "drawn anew"
    first.evaluated_params = again.evaluated_params = {"b": 1, "a": 0.5}
    other.evaluated_params = {"a": 0.25, "b": 1}
    assert trial_key(first) == trial_key(again) != trial_key(other)
    assert trial_key(trial(4)) != trial_key(trial(3))
    unnumbered = trial(5)
    unnumbered.experiment_tag = ""
    assert trial_key(unnumbered) == "id5"


def scheduler(**changes):
    arguments = {"time_attr": "epoch", "max_t": 27, "grace_period": 3, "rule": "asha", **changes}
    return ParetoScheduler(**arguments)


def told(to, who, epoch, accuracy, flops, **more):
    result = {"epoch": epoch, "child_accuracy": accuracy, "flops": flops, **more}
    return to.on_trial_result(None, who, result)


def test_the_scheduler_maximises_accuracy_and_minimises_flops():
    for rule, good, bad in (("asha", (0.9, 9), (0.1, 1)), ("asha-cost", (0.1, 1), (0.9, 9))):
        to = scheduler(rule=rule)
        for i in range(4):
            told(to, trial(i), 3, 0.5, 5)
        assert told(to, trial(8), 3, *good) == TrialScheduler.CONTINUE
        assert told(to, trial(9), 3, *bad) == TrialScheduler.STOP


def test_results_without_time_or_objectives_change_nothing():
    to = scheduler(rule=Never())
    assert to.on_trial_result(None, trial(0), {"child_accuracy": 1, "flops": 1}) == "CONTINUE"
    assert to.on_trial_result(None, trial(0), {"epoch": 3, "flops": 1}) == "CONTINUE"
    assert told(to, trial(0), 3, 1, 1) == "STOP"


def test_an_interrupted_trial_has_not_ended_and_a_done_one_has():
    to = scheduler()
    ending = {"epoch": 20, "child_accuracy": 0.5, "flops": 5}
    to.on_trial_complete(None, trial(0), {**ending, "done": False})
    to.on_trial_complete(None, trial(1), {**ending, "done": True})
    assert [place[:2] for place in to.judge.history.rungs[-1].places] == ["1-"]


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
    other = scheduler(grace_period=1)  # decides otherwise, so what was decided says nothing
    other.on_trial_add(None, trial(0, storage=Storage(tmp_path)))
    assert other.judge.lines == []


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


def test_it_can_be_saved_as_tune_would_and_pickled(tmp_path):
    to = scheduler()
    for i in range(5):
        told(to, trial(i), 3, 1 - i / 5, 5)
    to.save(str(tmp_path / "saved"))
    other = scheduler()
    other.restore(str(tmp_path / "saved"))
    assert other.judge.lines == to.judge.lines
    assert pickle.loads(pickle.dumps(to)).judge.lines == to.judge.lines
    assert "3: 5 (4 stopped), 9: 0 (0 stopped)" in to.debug_string()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["a"]}, r"metrics must be two or more different names, got \['a'\]"),
        ({"metrics": ["a", "a"]}, "metrics must be two or more different names"),
        ({"metrics": "ab"}, "metrics must be two or more different names, got 'ab'"),
        ({"modes": ["max", "least"]}, "modes must be max or min for each of 2 metrics"),
        ({"modes": ["max"]}, "modes must be max or min for each of 2 metrics"),
        ({"grace_period": 0}, "grace_period must be positive, got 0"),
        ({"rule": "x"}, "rule must be one of"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        scheduler(**changes)


def test_three_objectives_are_as_good_as_two():
    to = ParetoScheduler(["a", "b", "c"], ["min", "min", "max"], max_t=4, rule="mo-asha")
    for i in range(6):
        result = {"training_iteration": 1, "a": i, "b": i, "c": -i}
        answer = to.on_trial_result(None, trial(i), result)
        assert answer == ("CONTINUE" if i == 0 else "STOP")


def test_tunes_own_metric_and_mode_are_refused():
    to = scheduler()
    assert to.set_search_properties(None, None)
    assert not to.set_search_properties("accuracy", "max")


def test_a_sweeps_scheduler_has_its_rungs_where_the_child_is_evaluated():
    made = make_scheduler(SearchConfig(epochs=27))
    assert made.judge.levels == (3, 9, 27)
    assert make_scheduler(SearchConfig(epochs=12)).judge.levels == (2, 6, 12)
    assert make_scheduler(SearchConfig(epochs=1)).judge.levels == (1,)
    make_scheduler(SearchConfig(epochs=27, child_every=3))
    with pytest.raises(
        ValueError, match="child_every must divide the epochs of the rungs 3, 9, got 2"
    ):
        make_scheduler(SearchConfig(epochs=27, child_every=2))
