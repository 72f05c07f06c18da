"""A sweep in TensorBoard's own tabs: scalars, HParams, images of front and cells, a text table.

One run for each trial, under its name, and one run ``front`` for the sweep as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.plugins.hparams import summary_v2
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from snas_tune.front import ParetoFront, short_cell
from snas_tune.genotype import Genotype
from snas_tune.pictures import cell_figure, figure_to_array, front_figure
from snas_tune.results import METRICS

FRONT_RUN = "front"
HPARAMS = ("penalty_strength", "temperature_schedule", "temperature_start", "temperature_end")
"""The settings that HParams shows: what a sweep varies."""

SHOWN = ("child_accuracy", "flops", "params", "accuracy", "entropy")
"""The metrics that HParams shows."""

CELLS_DRAWN = 8
"""Most cells drawn at a time; with more on the front they are picked evenly along it."""

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
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._writers: dict[str, SummaryWriter] = {}

    def _writer(self, run: str) -> SummaryWriter:
        if run not in self._writers:
            self._writers[run] = SummaryWriter(str(self.directory / run), flush_secs=10)
            if run == FRONT_RUN:
                self._writers[run].add_custom_scalars(LAYOUT)
                hparams = [summary_v2.HParam(name) for name in HPARAMS]
                metrics = [summary_v2.Metric(name) for name in SHOWN]
                self._add(run, summary_v2.hparams_config_pb(hparams, metrics))
        return self._writers[run]

    def _add(self, run: str, summary: Any) -> None:
        """Write a summary of TensorBoard's own protocol buffers through tensorboardX's."""
        self._writer(run).file_writer.add_summary(Summary.FromString(summary.SerializeToString()))

    def start_trial(self, trial: str, config: Mapping[str, Any]) -> None:
        """Open a trial's run and write what the sweep varied."""
        self._writer(FRONT_RUN)
        shown = {name: config[name] for name in HPARAMS}
        self._add(trial, summary_v2.hparams_pb(shown, trial_id=trial))

    def add_result(self, trial: str, report: Mapping[str, Any]) -> None:
        """Write a trial's report: every known metric and every edge's credit, by epoch."""
        writer = self._writer(trial)
        names = [metric.name for metric in METRICS] + [k for k in report if "credit/" in k]
        for name in names:
            value = report.get(name)
            if isinstance(value, (int, float)) and math.isfinite(value):
                writer.add_scalar(name, value, global_step=report["epoch"])
        writer.flush()

    def end_trial(self, trial: str) -> None:
        """Close a trial's run."""
        writer = self._writers.pop(trial, None)
        if writer is not None:
            writer.close()

    def add_front(self, front: ParetoFront, trials: int) -> None:
        """Write the front as it is after ``trials`` ended trials: numbers, pictures and a table."""
        writer = self._writer(FRONT_RUN)
        members = front.front
        writer.add_scalar("hypervolume", front.hypervolume(normalised=True), global_step=trials)
        writer.add_scalar("front_size", len(members), global_step=trials)
        points = [
            {**row, "on_front": bool(on)} for row, on in zip(front.rows, front.mask, strict=True)
        ]
        picture = figure_to_array(front_figure(points, title=f"front after {trials} trials"))
        writer.add_image("front", picture, global_step=trials, dataformats="HWC")
        for place, row in enumerate(_evenly(members, CELLS_DRAWN)):
            title = (
                f"{100 * row['child_accuracy']:.1f} %, {row['flops'] / 1e6:.3f} MFLOPs, "
                f"{row['trial']} epoch {row['epoch']}"
            )
            drawing = figure_to_array(cell_figure(Genotype.from_json(row["genotype"]), title))
            writer.add_image(f"cells/{place}", drawing, global_step=trials, dataformats="HWC")
        writer.add_text("front", _markdown(members), global_step=trials)
        writer.flush()

    def close(self) -> None:
        """Close all runs."""
        for run in list(self._writers):
            self.end_trial(run)


def _evenly(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most ``most`` of the rows, both ends among them."""
    if len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def _markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| accuracy | MFLOPs | params | penalty | cell |",
        "|---:|---:|---:|---:|:---|",
    ]
    lines += [
        f"| {100 * row['child_accuracy']:.1f} % | {row['flops'] / 1e6:.3f} | {row['params']} "
        f"| {row['penalty_strength']:.3g} | {short_cell(row['genotype']).replace('|', '/')} |"
        for row in rows
    ]
    return "\n".join(lines)
