"""The public functions of searches and architectures with right arguments, for the walk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from front_rows import GENOTYPE
from walk import Walked

import snas_tune
from snas_tune import annealing, architecture, pictures
from snas_tune.export import program
from snas_tune.search.search import Search
from snas_tune.space import latency
from snas_tune.space.cell.genotype import Genotype
from snas_tune.training.train import Training, train


def of_networks(search: Search) -> dict[str, Walked]:
    child = search.child()
    runtime, shape = search.runtime, search.data
    return {
        "Search": Walked(
            snas_tune.Search,
            {"config": search.config},
            {"config": "value", "images": "value?", "began": "anything"},
        ),
        "Search.child": Walked(search.child, {}, {"architecture": "value?"}),
        "Search.child_accuracy": Walked(
            search.child_accuracy, {"child": child}, {"child": "value"}
        ),
        "Search.child_accuracies": Walked(
            search.child_accuracies, {"child": child}, {"child": "value"}
        ),
        "Search.picks_accuracy": Walked(
            search.picks_accuracy, {"picks": [0] * len(search.space.choices)}, {"picks": "value"}
        ),
        "Search.load_state_dict": Walked(
            search.load_state_dict,
            {"state": search.state_dict()},
            {"state": "value", "same_images": "flag"},
            {"state": "checkpoint"},
        ),
        "save_search": Walked(
            snas_tune.save_search,
            {"search": search, "directory": "saved"},
            {"search": "value", "directory": "path"},
        ),
        "load_search": Walked(
            snas_tune.load_search,
            {"directory": "saved"},
            {
                "directory": "path",
                "images": "value?",
                "same_images": "flag",
                "**device": "value",
            },
        ),
        "ChildNetwork": Walked(
            snas_tune.ChildNetwork,
            {"genotype": child.genotype, "skeleton": search.space.skeleton, "affine": True},
            {"genotype": "value", "skeleton": "value", "affine": "flag", "keep_dead": "flag"},
        ),
        "training.train.train": Walked(
            train,
            {
                "network": child,
                "data": shape,
                "runtime": runtime,
                "training": Training(epochs=0),
            },
            {
                "network": "value",
                "data": "value",
                "runtime": "value",
                "training": "value",
                "progress": "function?",
            },
        ),
        "export.program.check_export": Walked(
            program.check_export,
            {"path": "x.pt2"},
            {"path": "value", "dtype": "value"},
            {"path": "exported program"},
        ),
        "export.program.export_network": Walked(
            program.export_network,
            {
                "network": child,
                "path": "x.pt2",
                "normalise": shape.normalise,
                "side": 8,
                "classes": ("a", "b"),
                "architecture": GENOTYPE,
            },
            {
                "network": "value",
                "path": "value",
                "normalise": "value",
                "side": "count",
                "classes": "list of texts",
                "architecture": "text|NUL|two lines",
                "dtype": "value",
            },
            {"path": "exported program"},
        ),
        "space.latency.measure_latencies": Walked(
            latency.measure_latencies,
            {"layers": ()},
            {
                "layers": "points",
                "device": "value",
                "repeats": "count",
                "progress": "function?",
            },
        ),
        "space.latency.write_latencies": Walked(
            latency.write_latencies,
            {"path": "t.json", "table": {"layer": 0.5}},
            {"path": "path", "table": "value", "device": "value"},
        ),
        "space.latency.read_latencies": Walked(
            latency.read_latencies, {"path": "t.json"}, {"path": "path"}
        ),
    }


def of_architectures() -> dict[str, Walked]:
    genotype = Genotype.from_json(GENOTYPE)
    drawn = {"architecture": "value", "title": "title"}
    return {
        "Genotype": Walked(
            Genotype,
            {"normal": genotype.normal, "reduction": genotype.reduction},
            {"normal": "value", "reduction": "value"},
        ),
        "Genotype.from_dict": Walked(
            read(Genotype.from_dict), {"value": genotype.to_dict()}, {"value": "value"}
        ),
        "Genotype.from_text": Walked(
            Genotype.from_text,
            {"text": genotype.to_text()},
            {"text": "value"},
            {"text": "genotype"},
        ),
        "Genotype.words": Walked(genotype.words, {}, {"part": "empty text"}),
        "Genotype.sheet": Walked(genotype.sheet, {}, {"title": "title", "part": "empty text"}),
        "architecture.Picks": Walked(
            architecture.Picks,
            {"space": "x", "picks": {"a": "b"}},
            {"space": "text", "picks": "points|mapping"},
            {"picks": "choice"},
        ),
        "architecture.Picks.from_dict": Walked(
            read(architecture.Picks.from_dict),
            {"value": {"space": "x", "picks": {}}},
            {"value": "value"},
        ),
        "architecture.register_architecture": Walked(
            architecture.register_architecture,
            {"space": "walked", "home": Genotype},
            {"space": "text", "home": "value"},
        ),
        "architecture.read_architecture": Walked(
            architecture.read_architecture,
            {"text": GENOTYPE},
            {"text": "value"},
            {"text": "architecture"},
        ),
        "architecture.upgraded_json": Walked(
            architecture.upgraded_json, {"text": GENOTYPE}, {"text": "anything"}
        ),
        "annealing.check_schedule": Walked(
            annealing.check_schedule, {"kind": "linear"}, {"kind": "value"}, {"kind": "schedule"}
        ),
        "annealing.temperature_at": Walked(
            annealing.temperature_at,
            {"kind": "linear", "start": 1.0, "end": 0.1, "step": 1, "steps": 5},
            {
                "kind": "value",
                "start": "positive",
                "end": "positive",
                "step": "whole",
                "steps": "int64",
            },
            {"steps": "step"},
        ),
        "pictures.architecture_figure": Walked(
            pictures.architecture_figure, {"architecture": genotype}, drawn
        ),
        "pictures.architecture_svg": Walked(
            pictures.architecture_svg,
            {"architecture": genotype},
            {**drawn, "part": "empty text", "dark": "flag"},
        ),
    }


def read(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reader of JSON objects with its errors as a text's reader tells them."""

    def call(value: Any) -> Any:
        try:
            return function(value)
        except (KeyError, TypeError) as error:
            raise ValueError(f"value must be an architecture, got {error}") from error

    return call
