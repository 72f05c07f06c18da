"""Histories of a sweep, and domination by its definition."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from snas_tune.stopping import History, Report

COST = st.integers(0, 5).map(float)


def history_of(costs, niches=None, rungs=3):
    """A history in which trials t0, t1... reported these costs at the first rung."""
    history = History(rungs, len(costs[0]))
    reports = []
    for i, cost in enumerate(costs):
        niche = math.nan if niches is None else niches[i]
        reports.append(Report(f"t{i}", 0, tuple(cost), niche))
        history.add(reports[-1])
    return history, reports


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)
