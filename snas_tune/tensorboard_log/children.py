"""Summaries for the Pareto tab, see :mod:`snas_tune.events`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorboard.compat.proto import summary_pb2
from tensorboard.util import tensor_util

from snas_tune.architecture import read_architecture
from snas_tune.config import SearchConfig
from snas_tune.events import (
    ARCHITECTURES,
    CHECKPOINTS,
    CHILDREN,
    PLUGIN,
    SETTINGS,
    ChildrenForm,
)
from snas_tune.front import SCHEMA
from snas_tune.front.table import KEY
from snas_tune.results import ARCHITECTURE, MEAN_CREDIT, METRICS, Metric

TIMES = ("seconds", "seconds_training")
"""The metrics that stand behind those of a space. Those of cells stood there in format 1, so a
sweep that began with format 1 goes on in the order of its vectors."""


@dataclass(frozen=True, slots=True)
class SpaceColumns:
    """What only the space of a report's architecture has."""

    metrics: tuple[Metric, ...]
    values: Mapping[str, float]


def space_columns(report: Mapping[str, Any]) -> SpaceColumns:
    """The columns of a report's architecture; none if it cannot be read, as the tab then says.

    An architecture of a user's own space may fail in any way; the rest of its report is as good.
    """
    try:
        architecture = read_architecture(report[ARCHITECTURE])
        return SpaceColumns(architecture.METRICS, architecture.columns())
    except Exception:
        return SpaceColumns((), {})


def form_of(report: Mapping[str, Any], own: SpaceColumns) -> ChildrenForm:
    """What the vectors of a trial's children hold: every number of its reports.

    Args:
        report: any of them.
        own: its :func:`space_columns`.
    """
    common = [metric for metric in METRICS if metric.name not in ("epoch", *TIMES)]
    times = [metric for metric in METRICS if metric.name in TIMES]
    credits = [
        Metric(
            name, "nats", "", f"mean credit of {name.removeprefix(MEAN_CREDIT)}, see docs/method.md"
        )
        for name in report
        if name.startswith(MEAN_CREDIT)
    ]
    return ChildrenForm(
        columns=(*common, *credits, *own.metrics, *times),
        # A run's name and an event's step say what the key is.
        integers=frozenset(f.name for f in SCHEMA if str(f.type) == "int64") - set(KEY),
        fields=tuple(SCHEMA.names),
    )


def child_summary(
    report: Mapping[str, Any], own: SpaceColumns, form: ChildrenForm
) -> summary_pb2.Summary:
    """The child of a report: its numbers, NaN for what the report has not, and its architecture.

    Args:
        report: of an epoch.
        own: its :func:`space_columns`.
        form: of the trial's first child, see :func:`form_of`.
    """
    known = {**own.values, **report}
    numbers = np.array([known.get(name, np.nan) for name in form.names], np.float64)
    return summary_pb2.Summary(
        value=[
            _value(CHILDREN, numbers, form.to_json()),
            _value(ARCHITECTURES, report[ARCHITECTURE].encode()),
        ]
    )


def settings_summary(trial: str, config: SearchConfig, experiment: str) -> summary_pb2.Summary:
    """What all rows of a trial share.

    Args:
        trial: its name.
        config: of its search.
        experiment: the path of the sweep's directory.
    """
    constants = {name: value for name, value in config.to_dict().items() if name in SCHEMA.names}
    constants |= {"trial": trial, "config": config.to_json()}
    settings = {"trial": trial, "experiment": experiment, "constants": constants}
    return summary_pb2.Summary(value=[_value(SETTINGS, json.dumps(settings).encode())])


def checkpoints_summary(kept: Mapping[int, str]) -> summary_pb2.Summary:
    """The checkpoints of a trial that are kept: their paths by epoch."""
    return summary_pb2.Summary(value=[_value(CHECKPOINTS, json.dumps(dict(kept)).encode())])


def _value(tag: str, tensor: Any, content: bytes = b"{}") -> summary_pb2.Summary.Value:
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name=PLUGIN, content=content)
    # Without a data class TensorBoard does not show a time series to any plugin.
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=plugin, data_class=summary_pb2.DATA_CLASS_TENSOR
    )
    return summary_pb2.Summary.Value(
        tag=tag, tensor=tensor_util.make_tensor_proto(tensor), metadata=metadata
    )
