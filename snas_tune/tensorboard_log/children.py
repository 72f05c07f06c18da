"""Summaries for the Pareto tab, see :mod:`snas_tune.events`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorboard.compat.proto import summary_pb2
from tensorboard.util import tensor_util

from snas_tune.config import SearchConfig
from snas_tune.events import CHECKPOINTS, CHILDREN, GENOTYPES, PLUGIN, SETTINGS, ChildrenForm
from snas_tune.front import SCHEMA
from snas_tune.front.table import KEY
from snas_tune.results import GENOTYPE, METRICS

FORM = ChildrenForm(
    columns=tuple(metric for metric in METRICS if metric.name != "epoch"),
    # A run's name and an event's step say what the key is.
    integers=frozenset(f.name for f in SCHEMA if str(f.type) == "int64") - set(KEY),
    fields=tuple(SCHEMA.names),
)
"""What a child's vector holds: every number of a report."""


def child_summary(report: Mapping[str, Any]) -> summary_pb2.Summary:
    """The child of a report: its numbers, NaN for what the report has not, and its genotype."""
    numbers = np.array([report.get(metric.name, np.nan) for metric in FORM.columns], np.float64)
    return summary_pb2.Summary(
        value=[
            _value(CHILDREN, numbers, FORM.to_json()),
            _value(GENOTYPES, report[GENOTYPE].encode()),
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
