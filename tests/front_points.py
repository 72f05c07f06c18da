"""Rows of a front file for tests of ParetoFront."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import strategies as st

from snas_tune.front import read_table

OLD = Path(__file__).parent / "data" / "front_v1.parquet"

BASE = read_table(str(OLD)).to_pylist()[0]

NAN = math.nan


def row(accuracy=0.5, flops=1000, trial="a", epoch=1, **changes):
    """A row of the front file; columns that are not given are those of the committed file."""
    given = {"child_accuracy": accuracy, "flops": flops, "trial": trial, "epoch": epoch}
    return {**BASE, **given, **changes}


def points(*pairs):
    """One row for each (accuracy, flops), as epochs of one trial."""
    return [row(accuracy, flops, epoch=i) for i, (accuracy, flops) in enumerate(pairs)]


rows_strategy = st.lists(
    st.builds(
        dict,
        accuracy=st.sampled_from([0.1, 0.5, 0.5, 0.9, 1.0, NAN]),
        flops=st.integers(1, 6),
        params=st.integers(1, 3),
        latency_ms=st.sampled_from([1.0, 2.0, NAN]),
        trial=st.sampled_from(["a", "b", "c"]),
        epoch=st.integers(0, 9),
    ).map(lambda values: row(**values)),
    max_size=25,
    unique_by=lambda r: (r["trial"], r["epoch"]),
)
