"""A sweep in TensorBoard's own tabs: scalars, HParams, pictures of its front, a text table.

One run for each trial, under its name, and one run ``front`` for the sweep as a whole.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.plugins.hparams import plugin_data_pb2, summary_v2
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from snas_tune.architecture import read_architecture
from snas_tune.config import VARIED, SearchConfig
from snas_tune.events import ChildrenForm
from snas_tune.front import ParetoFront
from snas_tune.pictures import architecture_figure, figure_to_array, front_figure
from snas_tune.results import (
    ARCHITECTURE,
    CHILD_ACCURACY,
    CHILDREN,
    CREDIT,
    EPOCH,
    HYPERVOLUME,
    METRICS,
)
from snas_tune.tensorboard_log.children import (
    checkpoints_summary,
    child_summary,
    form_of,
    settings_summary,
    space_columns,
)

FRONT_RUN = "front"

FLUSH_SECONDS = 1
"""After so long an event is in its file; tensorboardX's own flush leaves out what is queued."""

SHOWN = ("child_accuracy", "flops", "params", "accuracy", "entropy")
"""The metrics that HParams shows."""

MOST_DRAWN = 8
"""Most architectures drawn at a time; with more on the front they are picked evenly along it."""

LAYOUT = {
    "SNAS sweep": {
        "accuracy": ["Multiline", ["^accuracy$", "^child_accuracy$", "^train_accuracy$"]],
        "FLOPs (multiply-adds of one image)": ["Multiline", ["^flops$", "^expected_flops$"]],
        "temperature and entropy": ["Multiline", ["^temperature$", "^entropy$"]],
        "loss": ["Multiline", ["^loss$", "^cross_entropy$", "^penalty$"]],
    }
}
"""For the Custom Scalars tab. A parenthesis in a *tag* would break its charts, not in a title."""


class SweepLog:
    """Writes the event files of a sweep.

    Args:
        directory: a local folder; pass it to ``tensorboard --logdir``.
        varied: what the sweep varies: the two ends of a range as a tuple, or a list of choices.
            If it is not given, HParams finds out by itself from the trials.
        experiment: the path of the sweep's directory, for the command that takes a child from it.
    """

    def __init__(
        self,
        directory: str | Path,
        varied: Mapping[str, tuple[float, float] | list[Any]] | None = None,
        experiment: str = "",
    ) -> None:
        self.directory = Path(directory)
        self._experiment = experiment
        self._varied = dict(varied or {})
        self._writers: dict[str, SummaryWriter] = {}
        self._forms: dict[str, ChildrenForm] = {}

    def _writer(self, run: str) -> SummaryWriter:
        if run not in self._writers:
            # The names of tensorboardX's files count seconds: a run that is opened twice within
            # one would lose what the first file held. TensorBoard reads files in the order of
            # their names, and drops what a later file says again.
            suffix = f".{time.time_ns():020d}.{os.getpid()}"
            self._writers[run] = SummaryWriter(
                str(self.directory / run), flush_secs=FLUSH_SECONDS, filename_suffix=suffix
            )
            if run == FRONT_RUN:
                self._writers[run].add_custom_scalars(LAYOUT)
                if self._varied:
                    self._add(run, _experiment(self._varied))
        return self._writers[run]

    def _add(self, run: str, summary: Any, step: int = 0) -> None:
        """Write a summary of TensorBoard's own protocol buffers through tensorboardX's."""
        self._writer(run).file_writer.add_summary(
            Summary.FromString(summary.SerializeToString()), step
        )

    def start_trial(self, trial: str, config: SearchConfig) -> None:
        """Open a trial's run and write what the sweep varied."""
        self._writer(FRONT_RUN)
        names = dict.fromkeys((*VARIED, *self._varied))
        shown = {name: _shown(getattr(config, name)) for name in names}
        self._add(trial, summary_v2.hparams_pb(shown, trial_id=trial))
        self._add(trial, settings_summary(trial, config, self._experiment))

    def add_result(self, trial: str, report: Mapping[str, Any]) -> None:
        """Write a trial's report by epoch: every metric, every credit, and what its space adds."""
        own = space_columns(report)
        known = {**own.values, **report}
        names = [metric.name for metric in (*METRICS, *own.metrics)]
        names += [key for key in report if key.startswith(CREDIT)]
        values = {name: known.get(name) for name in names}
        # One event for all of them: its cost is hardly that of its values.
        scalars = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in values.items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        ]
        self._writer(trial).file_writer.add_summary(Summary(value=scalars), report[EPOCH])
        if math.isfinite(report.get(CHILD_ACCURACY, math.nan)):
            form = self._forms.setdefault(trial, form_of(report, own))
            self._add(trial, child_summary(report, own, form), report[EPOCH])
        if HYPERVOLUME in report:
            self._writer(FRONT_RUN).add_scalar(
                HYPERVOLUME, report[HYPERVOLUME], global_step=report[CHILDREN]
            )

    def add_checkpoints(self, trial: str, kept: Mapping[int, str]) -> None:
        """Write where the checkpoints of a trial lie that are kept, by epoch."""
        self._add(trial, checkpoints_summary(kept), max(kept, default=0))

    def end_trial(self, trial: str) -> None:
        """Close a trial's run."""
        writer = self._writers.pop(trial, None)
        if writer is not None:
            writer.close()

    def add_front_size(self, size: int, trials: int) -> None:
        """Write how many children are on the front after ``trials`` ended trials."""
        self._writer(FRONT_RUN).add_scalar("front_size", size, global_step=trials)

    def draw_front(self, front: ParetoFront, trials: int) -> None:
        """Write the front as it is after ``trials`` ended trials: pictures and a table."""
        writer = self._writer(FRONT_RUN)
        drawn = front_figure(front.marked(), title=f"front after {trials} trials")
        picture = figure_to_array(drawn)
        writer.add_image("front", picture, global_step=trials, dataformats="HWC")
        for place, row in enumerate(_evenly(front.distinct, MOST_DRAWN)):
            title = (
                f"{100 * row['child_accuracy']:.1f} %, {row['flops'] / 1e6:.3f} MFLOPs, "
                f"{row['trial']} epoch {row['epoch']}"
            )
            architecture = read_architecture(row[ARCHITECTURE])
            drawing = figure_to_array(architecture_figure(architecture, title))
            tag = f"architectures/{place}"
            writer.add_image(tag, drawing, global_step=trials, dataformats="HWC")
        writer.add_text("front", _markdown(front.distinct), global_step=trials)
        writer.flush()

    def close(self) -> None:
        """Close all runs."""
        for run in list(self._writers):
            self.end_trial(run)


def _experiment(varied: Mapping[str, tuple[float, float] | list[Any]]) -> Any:
    """The summary that says what HParams shows: what varies, with its domain, and the metrics."""
    hparams = [summary_v2.HParam(name, _domain(values)) for name, values in varied.items()]
    summary = summary_v2.hparams_config_pb(hparams, [summary_v2.Metric(name) for name in SHOWN])
    metadata = summary.value[0].metadata.plugin_data
    content = plugin_data_pb2.HParamsPluginData.FromString(metadata.content)
    for info in content.experiment.hparam_infos:
        info.differs = True  # TensorBoard hides the columns of others
    metadata.content = content.SerializeToString()
    return summary


def _domain(values: tuple[float, float] | list[Any]) -> summary_v2.Domain | None:
    """TensorBoard's domain of a range or of choices; none for choices of several types."""
    if isinstance(values, tuple):
        return summary_v2.RealInterval(*map(float, values))
    choices = [_shown(value) for value in values]
    if len({type(choice) for choice in choices}) > 1:
        return None
    return summary_v2.Discrete(choices)


def _shown(value: Any) -> Any:
    """A value of a kind that HParams knows."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _evenly(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most ``most`` of the rows, both ends among them."""
    if len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def _markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| accuracy | MFLOPs | params | penalty | architecture |",
        "|---:|---:|---:|---:|:---|",
    ]
    lines += [
        f"| {100 * row['child_accuracy']:.1f} % | {row['flops'] / 1e6:.3f} | {row['params']} "
        f"| {row['penalty_strength']:.3g} "
        f"| {read_architecture(row[ARCHITECTURE]).summary().replace('|', '/')} |"
        for row in rows
    ]
    return "\n".join(lines)
