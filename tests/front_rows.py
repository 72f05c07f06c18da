"""Valid rows of the front file."""

from __future__ import annotations

import json
import math
from pathlib import Path

from snas_tune.space.cell.genotype import Cell, Edge, Genotype

OLD = Path(__file__).parent / "data" / "front_v1.parquet"

GENOTYPE = Genotype(Cell(1, (Edge("skip_connect", 0, 2),), (2,)), Cell(1, (), ())).to_json()


def row(trial="t1", epoch=1, **changes):
    """A valid row of the front file."""
    values = {
        "trial": trial,
        "epoch": epoch,
        "step": 10 * epoch,
        "child_accuracy": 0.75,
        "accuracy": 0.5,
        "flops": 1_000_000,
        "params": 2_000,
        "params_with_dead": 2_100,
        "memory": 30_000,
        "latency_ms": math.nan,
        "expected_flops": 1.5e6,
        "entropy": 0.9,
        "temperature": 0.4,
        "cross_entropy": 1.25,
        "penalty_strength": 0.01,
        "temperature_schedule": "linear",
        "temperature_start": 1.0,
        "temperature_end": 0.03,
        "seed": 3,
        "architecture": GENOTYPE,
        "config": json.dumps({"seed": 3}),
        "checkpoint": None,
    }
    return {**values, **changes}


def same(rows, others):
    """Equality in which NaN equals itself."""
    return repr(list(rows)) == repr(list(others))
