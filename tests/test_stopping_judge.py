"""Reports that repeat, skip, lag or lack a value."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snas_tune.stopping import Judge, make_rule
from snas_tune.stopping.rules import Asha

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


def test_a_value_that_was_not_measured_waits_for_the_next_report():
    to = judge(Never())
    waiting = [("a", 3, (None, 1)), ("a", 4, (1, None)), ("a", 5, (None, None))]
    assert decisions(to, waiting) == [True] * 3
    assert decisions(to, [("a", 6, (1, 1))]) == [False]


class Always:
    """Stops no trial that it is asked about."""

    def __call__(self, history, report):
        return True


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_a_trial_that_diverged_is_worse_than_all_and_is_stopped_at_its_rung(value):
    to = judge(Always())
    assert decisions(to, [("a", 2, (value, 1)), ("a", 3, (value, 1))]) == [True, False]
    assert decisions(to, [("a", 4, (1, 1))]) == [False]  # it stays stopped
    assert [len(rung) for rung in to.history.rungs] == [0, 0, 0]  # nothing is compared with it
    again = judge(Always())
    again.replay(json.loads(json.dumps(to.lines, allow_nan=False)))
    assert decisions(again, [("a", 3, (1, 1))]) == [False]
    kept = judge(make_rule("fifo", 3))
    assert decisions(kept, [("a", 3, (value, 1)), ("a", 9, (1, 1))]) == [True, True]


def test_one_that_measures_nothing_from_a_rung_to_the_next_counts_as_diverged():
    to = judge(Always())
    assert decisions(to, [("a", 3, (None, 1)), ("a", 8, (None, 1)), ("a", 9, (None, 1))]) == [
        True,
        True,
        False,
    ]


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
    assert to.finish("b", (2, 2))["rung"] == 2
    assert to.finish("c", (NAN, 2)) is None


def test_a_trial_that_ends_by_itself_is_noted_with_its_own_time():
    to = judge(Asha(2))
    decisions(to, [("a", 3, (4, 1))])
    ended = to.finish("a", (2, 1), time=5)
    assert (ended["rung"], ended["time"], ended["ended"]) == (0, 5, True)
    assert to.finish("b", (1, 9), time=4)["rung"] == 0
    assert to.finish("c", (0, 10), time=1)["rung"] == -1
    assert to.finish("a", (2, 1), time=5) is None
    # At the rung it had reported before; none of the three came to a later one.
    assert to.history.rungs[0].costs.tolist() == [[4, 1], [1, 9]]
    assert [len(rung) for rung in to.history.rungs] == [2, 0, 0]
    assert [len(moves) for moves in to.history.moves] == [0, 0]
    assert sorted(to.history.front.tolist()) == [[0, 10], [1, 9], [2, 1]]
    again = judge(Asha(2))
    again.replay(json.loads(json.dumps(to.lines)))
    assert (again.lines, again.history.ended) == (to.lines, {"a": 5, "b": 4, "c": 1})
    assert again.finish("c", (0, 10), time=1) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.integers(1, 30),
            st.tuples(st.sampled_from([0.0, 1.0, 2.0, NAN, None]), st.integers(0, 3).map(float)),
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


def mine(answer):
    """A rule of a user that always gives the same answer."""

    def rule(history, report):
        return answer

    rule.__name__ = "mine"
    return rule


@pytest.mark.parametrize("kind", [bool, np.bool_, np.array, torch.tensor])
def test_a_rule_may_answer_with_the_truth_values_of_other_libraries(kind):
    for answer in (True, False):
        goes_on, line = judge(mine(kind(answer))).report("a", 3, (1, 1))
        assert goes_on is answer
        assert json.loads(json.dumps(line))["goes_on"] is answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "None"),
        ("no", "'no'"),
        (1, "1"),
        (0.0, r"0\.0"),
        (np.int64(1), r"np\.int64\(1\)|1"),
        (np.array([True, False]), r"array\(\[ ?True, False\]\)"),
        (torch.tensor(True, device="meta"), r"tensor\(\.\.\., device='meta', .*\)"),
    ],
    ids=repr,
)
def test_a_rule_that_answers_anything_else_is_named_with_its_answer(answer, told):
    message = rf"^rule mine must answer true or false, got ({told})$"
    with pytest.raises(ValueError, match=message):
        judge(mine(answer)).report("a", 3, (1, 1))
    with pytest.raises(ValueError, match=r"^rule Silent must answer true or false, got None$"):
        judge(Silent()).report("a", 3, (1, 1))


class Silent:
    """A rule that forgets to answer."""

    def __call__(self, history, report):
        return None
