"""Thirty crashes at random instants: nothing lost, nothing twice, equal decisions, no long wait."""

from __future__ import annotations

import pytest
from crashes import KINDS, LOST, MINUTE, OF_RAY, RULES, measure, summary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


@pytest.mark.timeout(3600)
def test_no_crash_costs_more_than_a_minute_or_anything_at_all(tmp_path):
    found = measure(tmp_path, 30, seed=0)
    figures = summary(found)
    assert figures["crashes"] == 30
    assert set(figures["by_kind"]) == set(KINDS)
    assert set(figures["by_rule"]) == set(RULES)
    assert (figures["lost"], figures["repeated"], figures["unreadable"]) == (0, 0, 0)
    assert figures["equal"] == figures["sweeps"]
    assert figures["looks"] > 1000
    for sweep in found:
        for crash in sweep.crashes:
            assert crash.seconds <= MINUTE, crash
            if crash.kind in ("raylet", "gcs"):
                assert crash.status == 1, crash
                assert LOST.fullmatch(crash.line) or OF_RAY.fullmatch(crash.line), crash
