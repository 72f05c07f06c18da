"""The simulated cluster that replays recordings, and the recordings themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from snas_tune.front import hypervolume, nondominated

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import replay
import simulation

BY_NAME = {one.name: one for one in (*replay.CONTENDERS, *replay.WITH_SEARCHER)}


@pytest.fixture(scope="module")
def recording():
    return simulation.read_front_file("digits")


def test_the_recording_that_is_reported_on_is_large_enough():
    found = simulation.read_front_file("fashion-mnist")
    assert len(found.traces) >= 60
    assert found.epochs >= 27
    strengths = {trace.config["penalty_strength"] for trace in found.traces}
    assert len(strengths) == len(found.traces)


@pytest.mark.parametrize("workers", [1, 4])
def test_without_stopping_everything_is_seen_once(recording, workers):
    run = simulation_of(recording, "fifo", workers)
    epochs = range(recording.epochs)
    expected = [(t, e) for t in range(len(recording.traces)) for e in epochs]
    assert sorted(run.seen) == expected
    for trace in range(len(recording.traces)):  # each in its order
        assert [e for t, e in run.seen if t == trace] == list(epochs)
    shares = run.shares()
    assert shares[-1] == pytest.approx(1)
    assert (np.diff(shares) >= 0).all()
    figures = simulation.figures(run)
    assert (figures.spent, figures.lost, figures.cheap_gap, figures.accurate_gap) == (1, 0, 0, 0)


def simulation_of(recording, name, workers=4, order=0):
    return replay.replay(recording, BY_NAME[name], order, workers)


@pytest.mark.parametrize("name", ["pareto", "mo-asha", "asha, accuracy", "pareto, pareto proposes"])
def test_what_is_reported_of_a_run_is_what_it_saw(recording, name):
    run = simulation_of(recording, name)
    assert run.seen == simulation_of(recording, name).seen
    figures = simulation.figures(run)
    assert figures.spent == len(run.seen) / (len(recording.traces) * recording.epochs)
    assert 0 < figures.spent < 1
    for trace, last in run.stopped.items():  # nothing after the stop, which is at a rung
        assert max(e for t, e in run.seen if t == trace) == last
        assert last + 1 in (3, 9)
    seen = np.array([recording.traces[t].points[e] for t, e in run.seen])
    whole = hypervolume(recording.every_point, ("max", "min"), recording.reference)
    share = hypervolume(seen, ("max", "min"), recording.reference) / whole
    assert figures.final == pytest.approx(share)
    front = recording.every_point[nondominated(recording.every_point, ("max", "min"))]
    shortfall = [a - seen[seen[:, 1] <= c, 0].max(initial=0.0) for a, c in front]
    assert max(figures.cheap_gap, figures.accurate_gap) <= max(shortfall) + 1e-12


def test_other_orders_are_other_runs(recording):
    assert (
        simulation_of(recording, "pareto", order=1).seen != simulation_of(recording, "pareto").seen
    )
