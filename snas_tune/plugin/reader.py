"""Points, curves and architectures out of TensorBoard's data provider.

What was read of a run is kept until its time series grow, so that looking again at a sweep of
thousands of runs costs what is new.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from tensorboard.data import provider
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.scalar import metadata as scalars

from snas_tune.architecture import upgraded_json
from snas_tune.events import (
    ARCHITECTURES,
    CHECKPOINTS,
    CHILDREN,
    GENOTYPES,
    PLUGIN,
    SETTINGS,
    ChildrenForm,
)
from snas_tune.files import read_json
from snas_tune.plugin.series import Points, Series, points_of, series_of

SAMPLES = 100_000
"""Most values of a time series that are asked for."""


class Cache:
    """What was read for earlier requests, of all experiments."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.children: dict[tuple[str, str], tuple[Any, Series]] = {}
        """By experiment and run: the step and time of the last vector, and all of them."""

        self.forms: dict[bytes, ChildrenForm | None] = {}
        self.settings: dict[bytes, dict[str, Any]] = {}


class Reader:
    """Reads one log directory for one request.

    Args:
        data: TensorBoard's data provider.
        cache: shared by all requests.
        context: of the request.
        experiment: TensorBoard's experiment id.
    """

    def __init__(
        self, data: provider.DataProvider, cache: Cache, context: Any, experiment: str
    ) -> None:
        self._data = data
        self._cache = cache
        self._context = context
        self._experiment = experiment

    @cached_property
    def _listed(self) -> dict[str, Any]:
        """The time series of children, by run."""
        listed = self._data.list_tensors(
            self._context,
            experiment_id=self._experiment,
            plugin_name=PLUGIN,
            run_tag_filter=provider.RunTagFilter(tags=[CHILDREN]),
        )
        return {run: tags[CHILDREN] for run, tags in listed.items() if CHILDREN in tags}

    @cached_property
    def forms(self) -> dict[str, ChildrenForm | None]:
        """What the vectors of children of each run mean; ``None`` where it cannot be read."""
        return {run: self._form(series.plugin_content) for run, series in self._listed.items()}

    def _form(self, content: bytes) -> ChildrenForm | None:
        if content not in self._cache.forms:
            try:
                form = ChildrenForm.from_json(content)
            except ValueError:
                form = None
            self._cache.forms[content] = form
        return self._cache.forms[content]

    def tags(self) -> dict[str, int]:
        """How many runs have each scalar, or a column of that name."""
        listed = self._data.list_scalars(
            self._context, experiment_id=self._experiment, plugin_name=scalars.PLUGIN_NAME
        )
        counts: Counter[str] = Counter()
        for run in {*listed, *self.forms}:
            form = self.forms.get(run)
            counts.update({*listed.get(run, ()), *(form.names if form else ())})
        return dict(sorted(counts.items()))

    @cached_property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The hyperparameters of each run that logged some, sorted by name."""
        return self.settings_of(None)

    def settings_of(self, runs: Iterable[str] | None) -> dict[str, dict[str, Any]]:
        """:attr:`settings` of some runs, or of all."""
        listed = self._data.list_tensors(
            self._context,
            experiment_id=self._experiment,
            plugin_name=hparams.PLUGIN_NAME,
            run_tag_filter=provider.RunTagFilter(runs, [hparams.SESSION_START_INFO_TAG]),
        )
        return {
            run: self._settings(tags[hparams.SESSION_START_INFO_TAG].plugin_content)
            for run, tags in listed.items()
        }

    def _settings(self, content: bytes) -> dict[str, Any]:
        if content not in self._cache.settings:
            try:
                session = hparams.parse_session_start_info_plugin_data(content).hparams
            except Exception:  # of protobuf and of TensorBoard: these bytes are no settings
                session = {}
            values = {name: _plain(session[name]) for name in sorted(session)}
            known = {name: value for name, value in values.items() if value is not None}
            self._cache.settings[content] = known
        return self._cache.settings[content]

    def points(self, x: str, y: str, value: str, maximise: bool) -> Points:
        """The points of every run that has both scalars, or has children with both columns.

        Args:
            x: name of a scalar.
            y: likewise.
            value: one of :data:`VALUES`.
            maximise: whether the best y is the largest.
        """
        runs = {
            run.run_name
            for run in self._data.list_runs(self._context, experiment_id=self._experiment)
        }
        pairs = self._child_pairs(x, y)
        pairs |= self._scalar_pairs(x, y, runs - set(pairs))
        points = points_of(pairs, value, maximise)
        points.without = sorted(runs - set(pairs))
        return points

    def children(self, runs: Iterable[str]) -> dict[str, Series]:
        """The vectors of all children of runs; columns as their forms say."""
        wanted = [run for run in dict.fromkeys(runs) if run in self._listed]
        marks = {
            run: (self._listed[run].max_step, self._listed[run].max_wall_time) for run in wanted
        }
        with self._cache.lock:
            known = self._cache.children
            keys = {run: (self._experiment, run) for run in wanted}
            stale = [run for run in wanted if known.get(keys[run], (None,))[0] != marks[run]]
            read = self._read_tensors(stale, CHILDREN) if stale else {}
            for run, data in read.items():
                form = self.forms[run]
                if form is not None:
                    known[keys[run]] = (marks[run], series_of(data, len(form.columns)))
            return {run: known[keys[run]][1] for run in wanted if keys[run] in known}

    def curves(self, run: str, tags: Iterable[str]) -> dict[str, list[tuple[int, float]]]:
        """Step and value of scalars of a run, NaN and infinite ones left out."""
        read = self._data.read_scalars(
            self._context,
            experiment_id=self._experiment,
            plugin_name=scalars.PLUGIN_NAME,
            downsample=SAMPLES,
            run_tag_filter=provider.RunTagFilter(runs=[run], tags=list(tags)),
        )
        return {
            tag: [(d.step, d.value) for d in data if math.isfinite(d.value)]
            for tag, data in read.get(run, {}).items()
        }

    def architectures(self, runs: Iterable[str]) -> dict[str, dict[int, str]]:
        """The architectures of runs as JSON, by step; those of older versions as this one's."""
        runs = list(runs)
        found = {
            run: {step: upgraded_json(text) for step, text in texts.items()}
            for run, texts in self._texts(runs, GENOTYPES).items()
        }
        for run, texts in self._texts(runs, ARCHITECTURES).items():
            found[run] = {**found.get(run, {}), **texts}
        return found

    def origin(self, run: str) -> dict[str, Any]:
        """What :data:`SETTINGS` says of a run, with its ``checkpoints`` by epoch; or nothing."""
        return self.origins([run]).get(run, {})

    def origins(self, runs: Iterable[str]) -> dict[str, dict[str, Any]]:
        """:meth:`origin` of several runs."""
        runs = list(runs)
        kept = self._texts(runs, CHECKPOINTS, last=True)
        found: dict[str, dict[str, Any]] = {}
        for run, texts in self._texts(runs, SETTINGS, last=True).items():
            settings = _object(next(iter(texts.values())))
            paths = _object(next(iter(kept.get(run, {0: "{}"}).values())))
            found[run] = {**settings, "checkpoints": paths}
        return found

    def _read_tensors(self, runs: Iterable[str], tag: str) -> dict[str, Any]:
        """The data of this tag, by run."""
        read = self._data.read_tensors(
            self._context,
            experiment_id=self._experiment,
            plugin_name=PLUGIN,
            downsample=SAMPLES,
            run_tag_filter=provider.RunTagFilter(runs=list(runs), tags=[tag]),
        )
        return {run: tags[tag] for run, tags in read.items() if tags.get(tag)}

    def _texts(
        self, runs: Iterable[str], tag: str, last: bool = False
    ) -> dict[str, dict[int, str]]:
        """Texts by run and step; of a step that came again the later one."""
        found = {}
        for run, data in self._read_tensors(runs, tag).items():
            data = sorted(data, key=lambda datum: datum.wall_time)[-1 if last else 0 :]
            found[run] = {int(d.step): _text(d.numpy) for d in data if d.numpy.size == 1}
        return found

    def _child_pairs(self, x: str, y: str) -> dict[str, Series]:
        """x, y and params of the children of each run whose form has x and y."""
        columns: dict[str, list[int]] = {}
        for run, form in self.forms.items():
            names = form.names if form else ()
            if x in names and y in names:
                third = "params" if "params" in names else x
                columns[run] = [names.index(name) for name in (x, y, third)]
        if not columns:
            return {}
        children = self.children(columns)
        return {
            run: Series(series.steps, series.times, series.values[:, columns[run]])
            for run, series in children.items()
            if series.values.shape[1] > max(columns[run])
        }

    def _scalar_pairs(self, x: str, y: str, runs: set[str]) -> dict[str, Series]:
        """x, y and x of the steps at which a run of these has both scalars."""
        if not runs:
            return {}
        read = self._data.read_scalars(
            self._context,
            experiment_id=self._experiment,
            plugin_name=scalars.PLUGIN_NAME,
            downsample=SAMPLES,
            run_tag_filter=provider.RunTagFilter(runs=runs, tags=[x, y]),
        )
        pairs = {}
        for run, tags in read.items():
            if x not in tags or y not in tags:
                continue
            first = {d.step: d.value for d in tags[x]}
            rows = {
                d.step: (d.wall_time, first[d.step], d.value, first[d.step])
                for d in tags[y]
                if d.step in first
            }
            table = np.array(list(rows.values()), np.float64).reshape(-1, 4)
            pairs[run] = Series(np.array(list(rows), np.int64), table[:, 0], table[:, 1:])
        return pairs


def _plain(value: Any) -> bool | float | str | None:
    """A hyperparameter out of its protocol buffer; ``None`` if it has no value that JSON knows."""
    kind = value.WhichOneof("kind")
    plain = getattr(value, kind) if kind in ("bool_value", "number_value", "string_value") else None
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _text(array: Any) -> str:
    item = array.item()
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _object(text: str) -> Mapping[str, Any]:
    """A JSON object; an empty one if it is none."""
    try:
        value = read_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
