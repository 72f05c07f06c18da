"""What the Pareto tab's page asks for."""

from __future__ import annotations

import hashlib
import json
import math
import mimetypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import metadata as hparams
from werkzeug import wrappers

from snas_tune.architecture import Architecture, read_architecture
from snas_tune.events import PLUGIN
from snas_tune.files import read_json
from snas_tune.pictures.svg import architecture_svg
from snas_tune.plugin.reader import Cache, Reader
from snas_tune.plugin.rows import Point, child_rows, scalar_rows, sweep_of, to_csv, to_json
from snas_tune.plugin.series import VALUES
from snas_tune.results import OBJECTIVES

STATIC = Path(__file__).parent / "static"

Handler = Callable[["ParetoPlugin", wrappers.Request, Reader], Any]

LARGEST = "largest_flops"
"""The column that says what no child of a supernet costs more than."""

CURVES = ("accuracy", "flops", "expected_flops", "entropy", "temperature", "child_accuracy")
"""Scalars whose curves are drawn for a trial of a sweep, beside both axes."""


class ParetoPlugin(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard is untyped
    """The Pareto tab.

    Args:
        context: TensorBoard's.
    """

    plugin_name = PLUGIN

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._data = context.data_provider
        self._cache = Cache()
        self._axes = tuple(getattr(context.flags, f"pareto_{axis}", "") or "" for axis in "xy")

    def is_active(self) -> bool:
        """Unknown here; TensorBoard looks for data of :meth:`data_plugin_names`."""
        return False

    def data_plugin_names(self) -> tuple[str, ...]:
        """The tab is shown if there are children or hyperparameters; else it is under Inactive."""
        return (PLUGIN, hparams.PLUGIN_NAME)

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Where the page begins."""
        return base_plugin.FrontendMetadata(es_module_path="/static/index.js", tab_name="Pareto")

    def get_plugin_apps(self) -> Mapping[str, Any]:
        """The handler of each route."""
        routes: dict[str, Handler] = {
            "/tags": ParetoPlugin._tags,
            "/points": ParetoPlugin._points,
            "/run": ParetoPlugin._run,
            "/architecture": ParetoPlugin._architecture,
            "/architecture.svg": ParetoPlugin._picture,
            "/export": ParetoPlugin._export,
        }
        return {"/static/*": _static, **{path: self._app(h) for path, h in routes.items()}}

    def _app(self, handler: Handler) -> Any:
        """A WSGI app that answers errors in JSON, with the one line that says what was wrong."""

        @wrappers.Request.application
        def app(request: wrappers.Request) -> Any:
            context = plugin_util.context(request.environ)
            experiment = plugin_util.experiment_id(request.environ)
            reader = Reader(self._data, self._cache, context, experiment)
            try:
                return handler(self, request, reader)
            except (ValueError, KeyError, errors.PublicError) as error:
                text = f"no such data: {error}" if isinstance(error, KeyError) else str(error)
                return http_util.Respond(request, {"error": text}, "application/json", code=400)

        return app

    def _tags(self, request: wrappers.Request, reader: Reader) -> Any:
        """The scalars that can be axes, and what is known of them."""
        forms = list(dict.fromkeys(reader.forms.values()))
        known = [form for form in forms if form is not None]
        columns = {c.name: c for form in known for c in form.columns}
        tags = [
            {"name": name, "runs": runs}
            | (
                {"unit": c.unit, "direction": c.direction, "meaning": c.meaning}
                if (c := columns.get(name))
                else {}
            )
            for name, runs in reader.tags().items()
        ]
        answer = {
            "tags": tags,
            "objectives": known[0].objectives if known else [],
            "x": self._axes[0],
            "y": self._axes[1],
            "newer": None in forms,
        }
        return _json(request, answer)

    def _points(self, request: wrappers.Request, reader: Reader) -> Any:
        """Columns of points, with a list of the runs that the column ``run`` counts in.

        ``since`` is the version of an earlier answer: if that still holds, nothing is sent.
        """
        x, y = _argument(request, "x"), _argument(request, "y")
        value = request.args.get("value", "all")
        if value not in VALUES:
            raise ValueError(f"value must be one of {', '.join(VALUES)}, got {value!r}")
        maximise = request.args.get("ydir", "max") == "max"
        points = reader.points(x, y, value, maximise)
        settings = reader.settings
        forms = reader.forms
        names = sorted(set(points.run))
        places = {name: i for i, name in enumerate(names)}
        answer = {
            "runs": [
                {
                    "name": name,
                    "sweep": sweep_of(name),
                    "settings": settings.get(name, {}),
                    "children": forms.get(name) is not None,
                }
                for name in names
            ],
            "run": [places[name] for name in points.run],
            "step": points.step,
            "x": points.x,
            "y": points.y,
            "time": points.time,
            "without": len(points.without),
            "not_finite": points.not_finite,
            "example": points.without[:3],
            "largest": _largest(reader, x, y, names),
        }
        text = json.dumps(answer, separators=(",", ":"))
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        if request.args.get("since") == version:
            return _json(request, {"version": version, "same": True})
        return http_util.Respond(request, f'{{"version":"{version}",{text[1:]}', "application/json")

    def _run(self, request: wrappers.Request, reader: Reader) -> Any:
        """What is known of one run: settings, where it came from, steps of children, curves."""
        run = _argument(request, "run")
        tags = dict.fromkeys([*request.args.getlist("tag"), *CURVES])
        origin = reader.origin(run)
        architectures = reader.architectures([run]).get(run, {})
        curves = reader.curves(run, tags)
        answer = {
            "settings": reader.settings_of([run]).get(run, {}),
            "trial": origin.get("trial", run.rpartition("/")[2]),
            "experiment": origin.get("experiment", ""),
            "checkpoints": origin.get("checkpoints", {}),
            "steps": sorted(architectures),
            "curves": {tag: curves[tag] for tag in tags if tag in curves},
        }
        return _json(request, answer)

    def _architecture(self, request: wrappers.Request, reader: Reader) -> Any:
        """An architecture as JSON, as its published text, in short, and choice by choice."""
        text, architecture = _asked(request, reader)
        answer = {
            "json": text,
            "text": architecture.to_text(),
            "short": architecture.summary(),
            "parts": [[name, rows] for name, rows in architecture.parts().items()],
        }
        return _json(request, answer)

    def _picture(self, request: wrappers.Request, reader: Reader) -> Any:
        """An architecture drawn, or the part of it that is asked for."""
        _, architecture = _asked(request, reader)
        dark, part = request.args.get("dark") == "1", request.args.get("part", "")
        picture = architecture_svg(architecture, part=part, dark=dark)
        return http_util.Respond(request, picture, "image/svg+xml")

    def _export(self, request: wrappers.Request, reader: Reader) -> Any:
        """The rows of the points that the page shows; it sends them, and which are on its front."""
        if request.method != "POST":
            raise ValueError(f"export must be asked for with POST, got {request.method}")
        asked = read_json(request.get_data())
        points: list[Point] = [
            (asked["runs"][run], int(step), bool(front)) for run, step, front in asked["points"]
        ]
        forms = reader.forms
        x, y = asked["x"], asked["y"]
        if points and all(_has_columns(forms.get(run), x, y) for run, _, _ in points):
            names, rows = child_rows(reader, points)
        else:
            settings = reader.settings
            values = zip(points, asked["xs"], asked["ys"], strict=True)
            names, rows = scalar_rows(list(values), (x, y), settings)
        if asked["format"] == "csv":
            return http_util.Respond(request, to_csv(names, rows), "text/csv")
        return http_util.Respond(request, to_json(names, rows), "application/json")


def _asked(request: wrappers.Request, reader: Reader) -> tuple[str, Architecture]:
    """The architecture that a request asks for, as text and decoded."""
    run, step = _argument(request, "run"), int(_argument(request, "step"))
    steps = reader.architectures([run]).get(run, {})
    if step not in steps:
        raise ValueError(f"run {run} logged no architecture at step {step}")
    return steps[step], read_architecture(steps[step])


def _largest(reader: Reader, x: str, y: str, runs: list[str]) -> float | None:
    """What no child of the sweep costs more than, if x and y are its objectives."""
    if (y, x) != tuple(name for name, _ in OBJECTIVES):
        return None
    largest: list[float] = []
    for run, series in reader.children(runs).items():
        form = reader.forms[run]
        if form and LARGEST in form.names:
            largest += series.values[:, form.names.index(LARGEST)].tolist()
    return max(filter(math.isfinite, largest), default=None)


def _has_columns(form: Any, x: str, y: str) -> bool:
    return form is not None and {x, y} <= set(form.names)


@wrappers.Request.application
def _static(request: wrappers.Request) -> Any:
    """A file of the page."""
    path = (STATIC / request.path.partition("/static/")[2]).resolve()
    if STATIC.resolve() not in path.parents or not path.is_file():
        raise errors.NotFoundError(request.path)
    kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    return http_util.Respond(request, path.read_bytes(), kind or "application/octet-stream")


def _argument(request: wrappers.Request, name: str) -> str:
    value = request.args.get(name)
    if not value:
        raise ValueError(f"{name} must be given")
    return str(value)


def _json(request: wrappers.Request, answer: Any) -> Any:
    return http_util.Respond(request, answer, "application/json")
