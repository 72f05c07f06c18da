"""Every public function with arguments that are right, for the walk over every parameter."""

from __future__ import annotations

import numpy as np
from front_rows import row
from matplotlib.figure import Figure
from walk import Walked
from walked_networks import of_architectures, of_networks
from walked_settings import AUGMENTATION, FORM, REQUEST, SEARCH, SWEEP, TRAINING
from walked_sweeps import PAIRS, of_sweeps, some_front

import snas_tune
from snas_tune import data, front, pictures
from snas_tune.search.search import Search
from snas_tune.training.augment import Augmentation
from snas_tune.training.train import Training

MODULES = (
    "snas_tune",
    "snas_tune.sweep",
    "snas_tune.front",
    "snas_tune.stopping",
    "snas_tune.data",
    "snas_tune.pictures",
    "snas_tune.export.program",
    "snas_tune.training.train",
    "snas_tune.training.augment",
    "snas_tune.space.latency",
    "snas_tune.architecture",
    "snas_tune.annealing",
)
"""What users and examples import."""

NOT_WALKED = {
    "Tune calls it": (
        "ParetoScheduler.",
        "ParetoSearch.",
        "sweep.BatchedOptuna.",
        "SnasTrainable",
        "sweep.SweepDriver.",
    ),
    "a value that the package makes": (
        "sweep.SweepResult",
        "stopping.Outcome",
        "stopping.Report",
        "training.train.EpochReport",
        "data.Found",
        "front.row_settings",
        "training.train.Training.",
    ),
    "the scheduler calls it, whose arguments are walked": (
        "stopping.History",
        "stopping.Journal",
        "stopping.Judge",
        "stopping.widest_gap",
        "front.RunningFront.add",
        "front.FrontFile.add",
        "front.FrontFile.append",
        "front.FrontFile.row",
    ),
    "a form that users' own classes have": (
        "stopping.Rule",
        "data.Source",
        "data.Progress",
        "architecture.Architecture",
    ),
    "training calls it with tensors": (
        "training.augment.augment",
        "ChildNetwork.forward",
        "ChildNetwork.inherit",
        "export.program.compare",
    ),
    "it says nothing, whatever it is told": ("data.silent",),
    "it shortens a text of a message": ("architecture.one_line",),
    "an error": ("data.NoTestImages", "sweep.SweepLost"),
}
"""By reason, functions whose arguments no user gives. A name with a dot at its end stands for all
methods of a class."""

POINTS = np.array([[0.5, 2.0], [0.7, 3.0]])


def walked(search: Search) -> dict[str, Walked]:
    """Each function, by the name that :func:`walk.public_functions` gives it."""
    return {
        **of_settings(),
        **of_sweeps(search),
        **of_fronts(),
        **of_images(),
        **of_networks(search),
        **of_architectures(),
    }


def of_settings() -> dict[str, Walked]:
    return {
        "SearchConfig": Walked(snas_tune.SearchConfig, {"cells": 3, "channels": 12}, SEARCH),
        "SearchConfig.from_dict": Walked(
            snas_tune.SearchConfig.from_dict,
            {"values": {}},
            {"values": "dict"},
            {"values": "settings"},
        ),
        "SweepSettings": Walked(snas_tune.SweepSettings, {"name": "x"}, SWEEP),
        "training.train.Training": Walked(Training, {"epochs": 1}, TRAINING),
        "training.augment.Augmentation": Walked(Augmentation, {}, AUGMENTATION),
    }


def of_fronts() -> dict[str, Walked]:
    points = some_front()
    store = {"filesystem": "value?"}
    modes = {"points": POINTS, "modes": ("max", "min")}
    of_modes = {"points": "array", "modes": "value"}
    return {
        "ParetoFront": Walked(
            front.ParetoFront, {"table": points.table}, {"table": "value", "objectives": PAIRS}
        ),
        "ParetoFront.read": Walked(
            front.ParetoFront.read,
            {"path": "front.parquet"},
            {"path": "path", "objectives": PAIRS, **store},
        ),
        "ParetoFront.from_rows": Walked(
            front.ParetoFront.from_rows,
            {"rows": [row()]},
            {"rows": "points", "objectives": PAIRS},
            {"rows": "row"},
        ),
        "ParetoFront.hypervolume": Walked(
            points.hypervolume, {}, {"reference": "value?", "normalised": "flag"}
        ),
        "ParetoFront.best": Walked(points.best, {}, {"**max_flops": "bound"}),
        "ParetoFront.table_text": Walked(points.table_text, {}, {"limit": "count?"}),
        "ParetoFront.to_csv": Walked(points.to_csv, {"path": "x.csv"}, {"path": "path"}),
        "front.FrontFile": Walked(front.FrontFile, {"path": "y"}, {"path": "path", **store}),
        "front.RunningFront": Walked(
            front.RunningFront,
            {"modes": ("max", "min"), "reference": (0, 3)},
            {"modes": "value", "reference": "value"},
            {"modes": "mode"},
        ),
        "front.check_writable": Walked(
            front.check_writable, {"path": "folder"}, {"path": "path", **store}
        ),
        "front.front_text": Walked(
            front.front_text, {"front": points.rows}, {"front": "points", "limit": "count?"}
        ),
        "front.hypervolume": Walked(
            front.hypervolume,
            {**modes, "reference": (0, 9)},
            {**of_modes, "reference": "value"},
            {"modes": "mode"},
        ),
        "front.nondominated": Walked(front.nondominated, modes, of_modes, {"modes": "mode"}),
        "front.nondominated_rank": Walked(
            front.nondominated_rank, modes, of_modes, {"modes": "mode"}
        ),
        "front.read_table": Walked(
            front.read_table, {"path": "front.parquet"}, {"path": "path", **store}
        ),
        "pictures.front_figure": Walked(
            pictures.front_figure,
            {"points": points.marked()},
            {
                "points": "points",
                "title": "title",
                "objectives": PAIRS,
                "reference": "value?",
                "log_cost": "flag?",
            },
        ),
        "pictures.figure_to_array": Walked(
            pictures.figure_to_array, {"figure": figure()}, {"figure": "value"}
        ),
        "pictures.save": Walked(
            pictures.save,
            {"figure": figure(), "path": "x.svg"},
            {"figure": "value", "path": "value"},
        ),
    }


def figure() -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = Figure()
    FigureCanvasAgg(drawn)
    return drawn


def of_images() -> dict[str, Walked]:
    labels = np.repeat(np.arange(2), 5)
    images = np.zeros((10, 1, 8, 8), np.uint8)
    form = {f"**{name}": kind for name, kind in FORM.items()} | {"**download": "flag"}
    form["**image_size"] = "count?"
    where = {"spec": "path", "root": "path"}
    loaded = {**where, "cache_dir": "path?", "progress": "function?", **form}
    split = {"labels": "value", "validation_fraction": "open share", "seed": "whole"}
    base = {"labels": labels, "validation_fraction": 0.2, "seed": 0}
    return {
        "data.load": Walked(data.load, {"spec": "digits", "root": "data"}, loaded),
        "data.load_test": Walked(data.load_test, {"spec": "digits", "root": "data"}, loaded),
        "data.check": Walked(
            data.check, {"spec": "digits", "root": "data"}, {**where, "train": "flag", **form}
        ),
        "data.resolve": Walked(
            data.resolve,
            {"spec": "digits", "root": "data"},
            {**where, "sources": "settings"},
        ),
        "data.Request": Walked(data.Request, {"spec": "digits", "root": "data"}, REQUEST),
        "data.ImageSet": Walked(
            data.ImageSet,
            {"images": images, "labels": labels, "classes": ("a", "b")},
            {
                "images": "value",
                "labels": "value",
                "classes": "points|list of texts",
                "bits": "count",
                "listing": "title",
                "validation": "value?",
                "found": "anything",
            },
        ),
        "data.StderrProgress": Walked(
            data.StderrProgress, {}, {"stream": "value?", "patience": "not negative"}
        ),
        "data.split": Walked(data.split, base, {**split, "classes": "points|list of texts?"}),
        "data.split_rows": Walked(
            data.split_rows,
            base,
            {**split, "given": "value?", "limit": "value?", "classes": "points|list of texts?"},
            {"limit": "limit_images"},
        ),
        "data.subset": Walked(
            data.subset,
            {"labels": labels, "limit": 6, "seed": 0},
            {"labels": "value", "limit": "int64", "seed": "whole", "least": "count"},
            {"limit": "limit_images"},
        ),
    }
