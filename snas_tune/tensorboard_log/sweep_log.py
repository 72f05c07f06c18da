"""A sweep in TensorBoard's own tabs: scalars, HParams, pictures of its front, a text table.

One run for each trial, under its name, and one run ``front`` for the sweep as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import plugin_data_pb2, summary_v2
from tensorboardX import summary as tensorboard_x

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
from snas_tune.tensorboard_log.event_file import EventFile

FRONT_RUN = "front"

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
        self._files: dict[str, EventFile] = {}
        self._forms: dict[str, ChildrenForm] = {}

    def _file(self, run: str) -> EventFile:
        if run not in self._files:
            file = EventFile(self.directory / run)
            if run == FRONT_RUN:
                file.add(_converted(tensorboard_x.custom_scalars(LAYOUT)))
                if self._varied:
                    file.add(_experiment(self._varied))
            self._files[run] = file
        return self._files[run]

    def start_trial(self, trial: str, config: SearchConfig) -> None:
        """Open a trial's run and write what the sweep varied."""
        self._file(FRONT_RUN)
        names = dict.fromkeys((*VARIED, *self._varied))
        shown = {name: _shown(getattr(config, name)) for name in names}
        file = self._file(trial)
        file.add(summary_v2.hparams_pb(shown, trial_id=trial))
        file.add(settings_summary(trial, config, self._experiment))

    def add_result(self, trial: str, report: Mapping[str, Any]) -> None:
        """Write a trial's report by epoch: every metric, every credit, and what its space adds."""
        own = space_columns(report)
        known = {**own.values, **report}
        names = [metric.name for metric in (*METRICS, *own.metrics)]
        names += [key for key in report if key.startswith(CREDIT)]
        # One event for all of it: its cost is hardly that of its values.
        summary = _scalars({name: known.get(name) for name in names})
        if math.isfinite(report.get(CHILD_ACCURACY, math.nan)):
            form = self._forms.setdefault(trial, form_of(report, own))
            summary.MergeFrom(child_summary(report, own, form))
        self._file(trial).add(summary, report[EPOCH])
        if HYPERVOLUME in report:
            volume = _scalars({HYPERVOLUME: report[HYPERVOLUME]})
            self._file(FRONT_RUN).add(volume, report[CHILDREN])

    def add_checkpoints(self, trial: str, kept: Mapping[int, str]) -> None:
        """Write where the checkpoints of a trial lie that are kept, by epoch."""
        self._file(trial).add(checkpoints_summary(kept), max(kept, default=0))

    def end_trial(self, trial: str) -> None:
        """Close a trial's run."""
        self._forms.pop(trial, None)
        file = self._files.pop(trial, None)
        if file is not None:
            file.close()

    @contextmanager
    def anew(self, trial: str) -> Iterator[None]:
        """Inside, a trial's run is written from its start; it then takes the place of the old one.

        After an error the old one stays.
        """
        self.end_trial(trial)
        folder = self.directory / trial
        old = set(folder.glob("events.out.tfevents.*"))
        left = old
        try:
            yield
        except BaseException:
            left = set(folder.glob("events.out.tfevents.*")) - old
            raise
        finally:
            self.end_trial(trial)
            for file in left:
                file.unlink(missing_ok=True)

    def add_front_size(self, size: int, trials: int) -> None:
        """Write how many children are on the front after ``trials`` ended trials."""
        self._file(FRONT_RUN).add(_scalars({"front_size": size}), trials)

    def draw_front(self, front: ParetoFront, trials: int) -> None:
        """Write the front as it is after ``trials`` ended trials: pictures and a table.

        Raises:
            Exception: a picture or the table cannot be made or written, such as that of an
                architecture whose own drawing fails; the others are written all the same.
        """
        parts = [partial(_front_picture, front, trials), partial(_front_text, front)]
        for place, row in enumerate(_evenly(front.distinct, MOST_DRAWN)):
            parts.append(partial(_architecture_picture, place, row))
        file = self._file(FRONT_RUN)
        _do_all([partial(_add_made, file, part, trials) for part in parts])

    def close(self) -> None:
        """Close all runs."""
        for run in list(self._files):
            self.end_trial(run)


def _add_made(file: EventFile, make: Callable[[], summary_pb2.Summary], step: int) -> None:
    file.add(make(), step)


def _do_all(parts: list[Callable[[], None]]) -> None:
    """Do each part, also when others fail; then raise the first failure."""
    failures = []
    for part in parts:
        try:
            part()
        except Exception as failure:  # a drawing may be a user's own
            failures.append(failure)
    if failures:
        raise failures[0]


def _front_picture(front: ParetoFront, trials: int) -> summary_pb2.Summary:
    return _picture("front", front_figure(front.marked(), title=f"front after {trials} trials"))


def _front_text(front: ParetoFront) -> summary_pb2.Summary:
    return _converted(tensorboard_x.text("front", _markdown(front.distinct)))


def _architecture_picture(place: int, row: Mapping[str, Any]) -> summary_pb2.Summary:
    title = (
        f"{100 * row['child_accuracy']:.1f} %, {row['flops'] / 1e6:.3f} MFLOPs, "
        f"{row['trial']} epoch {row['epoch']}"
    )
    figure = architecture_figure(read_architecture(row[ARCHITECTURE]), title)
    return _picture(f"architectures/{place}", figure)


def _picture(tag: str, figure: Any) -> summary_pb2.Summary:
    return _converted(tensorboard_x.image(tag, figure_to_array(figure), dataformats="HWC"))


def _scalars(values: Mapping[str, Any]) -> summary_pb2.Summary:
    """The finite numbers of some values."""
    return summary_pb2.Summary(
        value=[
            summary_pb2.Summary.Value(tag=name, simple_value=value)
            for name, value in values.items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        ]
    )


def _converted(summary: Any) -> summary_pb2.Summary:
    """A summary of tensorboardX's protocol buffers in TensorBoard's own."""
    return summary_pb2.Summary.FromString(summary.SerializeToString())


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
