"""What a trial reports, once an epoch: every name, unit and direction in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """One reported quantity."""

    name: str
    unit: str
    direction: str
    """``max``, ``min``, or empty where neither is better."""

    meaning: str


EPOCH, STEP, SECONDS = "epoch", "step", "seconds"
CHILD_ACCURACY, ACCURACY = "child_accuracy", "accuracy"
FLOPS, LARGEST_FLOPS = "flops", "largest_flops"

METRICS = (
    Metric(EPOCH, "epochs", "", "epochs finished; the `time_attr` of a scheduler"),
    Metric(STEP, "search steps", "", "batches seen since the start of the search"),
    Metric(
        CHILD_ACCURACY,
        "share",
        "max",
        "validation accuracy of the derived child network, by the config's metric",
    ),
    Metric(
        ACCURACY, "share", "max", "validation accuracy of the sampled supernet, by the same metric"
    ),
    Metric(FLOPS, "multiply-adds", "min", "of the child network, for one image"),
    Metric("params", "weights", "min", "of the child network, unused parts removed"),
    Metric("params_with_dead", "weights", "min", "of the child network, unused parts kept"),
    Metric("memory", "elements", "min", "read or written by the child network for one image"),
    Metric("latency_ms", "ms", "min", "of the child for one image, from a latency table, else NaN"),
    Metric("expected_flops", "multiply-adds", "min", "of the supernet under its logits, one image"),
    Metric(LARGEST_FLOPS, "multiply-adds", "", "no child of this supernet costs more; one image"),
    Metric("entropy", "share", "", "of the op distributions, as a share of the uniform one's"),
    Metric("temperature", "", "", "of the last step's concrete sample"),
    Metric("loss", "nats", "min", "cross-entropy + penalty, mean over the epoch's steps"),
    Metric("cross_entropy", "nats", "min", "of the training batches, mean over the epoch's steps"),
    Metric("penalty", "nats", "min", "penalty strength x normalised cost, mean over the steps"),
    Metric("train_accuracy", "share", "max", "top-1 on the training batches of the epoch"),
    Metric(SECONDS, "s", "min", "of this epoch, evaluation included"),
    Metric("seconds_training", "s", "min", "of this epoch's search steps"),
)
"""What any space and method reports, in the order in which tables show it.

A report also holds :data:`ARCHITECTURE`; numbers that only its space has, see
:meth:`snas_tune.architecture.Architecture.columns`; and keys that begin with :data:`CREDIT`.
"""

CREDIT = "credit"
"""How the names of credits begin, in nats, see docs/method.md: ``credit/<group>/<choice>`` is the
credit of one choice."""

MEAN_CREDIT = "credit_"
"""How the mean credit of a group of choices is called: ``credit_<group>``."""

ARCHITECTURE = "architecture"
"""The derived architecture as JSON, unused parts removed."""

HYPERVOLUME = "hypervolume"
"""What the driver adds to a report: the share of the box between the ideal point (every image
right, no FLOPs) and the reference point (none right, ``largest_flops``) that all children of the
sweep so far dominate."""

CHILDREN = "children"
"""What the driver adds, too: how many children of the sweep were evaluated so far."""

OBJECTIVES = ((CHILD_ACCURACY, "max"), (FLOPS, "min"))
"""The two objectives of a sweep: name in the report, and mode."""

BALANCED = "balanced_accuracy"
"""The metric under which accuracies are means over the classes."""


def metric_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """By which metric the accuracies of a front's rows were measured, as their configs say.

    Rows without a config, or with one of another form, are by plain accuracy.
    """
    try:
        metric = json.loads(rows[0]["config"])["metric"] if rows else ""
    except (KeyError, TypeError, ValueError, RecursionError):
        metric = ""
    return BALANCED if metric == BALANCED else "accuracy"
