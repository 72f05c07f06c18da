"""The public functions of sweeps with arguments that are right, for the walk."""

from __future__ import annotations

from front_rows import row
from ray import tune
from walk import Walked

from snas_tune import front, stopping, sweep
from snas_tune.search.search import Search

PAIRS = "value"


def some_front() -> front.ParetoFront:
    return front.ParetoFront.from_rows([row(), row(epoch=2, child_accuracy=0.8, flops=2_000_000)])


def of_sweeps(search: Search) -> dict[str, Walked]:
    space = sweep.sweep_space(cells=3)
    settings = sweep.SweepSettings(name="x")
    sizes = {"cpus_per_trial": "size", "gpus_per_trial": "size or 0"}
    searcher = {"concurrent": "count", "sampler": "value", "seed": "whole", "points": "points"}
    running = {"trials": 4, "progress": False, "space": {}}
    of_running = {"trials": "count", "progress": "flag", "space": "settings?"}
    return {
        "sweep_space": Walked(
            sweep.sweep_space,
            {},
            {
                "penalty": "value",
                "schedules": "value",
                "temperature_start": "value",
                "temperature_end": "value",
                "**epochs": "count",
            },
            {"schedules": "schedule"},
        ),
        "run_sweep": Walked(
            sweep.run_sweep,
            {"space": space, "settings": settings},
            {
                "space": "settings",
                "settings": "value",
                "on_start": "function?",
                "on_stuck": "function",
            },
        ),
        "make_tuner": Walked(
            sweep.make_tuner,
            {"space": space, "settings": settings},
            {"space": "settings", "settings": "value"},
        ),
        "sweep.tuner_trainable": Walked(sweep.tuner_trainable, {}, sizes),
        "sweep.trial_name": Walked(
            sweep.trial_name, {"config": {}}, {"config": "dict"}, {"config": "settings"}
        ),
        "sweep.quiet_ray": Walked(sweep.quiet_ray, {}, {"address": "value?", "cpus": "count?"}),
        "sweep.sweep_callbacks": Walked(sweep.sweep_callbacks, running, of_running),
        "sweep.SweepDriver": Walked(sweep.SweepDriver, running, of_running),
        "sweep.sweep_result": Walked(
            sweep.sweep_result,
            {"path": "x", "outcome": tune.ExperimentAnalysis.__new__(Outcome), "trials": 3},
            {"path": "path", "outcome": "value", "trials": "count"},
        ),
        "sweep.write_pictures": Walked(
            sweep.write_pictures,
            {"result": sweep.SweepResult("x", some_front(), {}, 1, 1), "directory": "drawn"},
            {"result": "value", "directory": "path"},
        ),
        "sweep.make_scheduler": Walked(
            sweep.make_scheduler,
            {"config": search.config},
            {
                "config": "value",
                "rule": "value",
                "grace_period": "count?",
                "reduction_factor": "above 1",
            },
        ),
        "sweep.make_searcher": Walked(
            sweep.make_searcher,
            {"concurrent": 1},
            {
                **{name: kind for name, kind in searcher.items() if name != "sampler"},
                "searcher": "value",
                "max_t": "positive?",
            },
        ),
        "ParetoSearch": Walked(
            sweep.ParetoSearch,
            {"concurrent": 1},
            {
                **searcher,
                "objectives": PAIRS,
                "niche": "text",
                "gap_share": "whole share",
                "whole": "value?",
            },
        ),
        "sweep.BatchedOptuna": Walked(
            sweep.BatchedOptuna,
            {"batch": 1},
            {
                **{name: kind for name, kind in searcher.items() if name != "concurrent"},
                "batch": "count",
                "objectives": PAIRS,
            },
            {"batch": "concurrent"},
        ),
        "ParetoScheduler": Walked(
            sweep.ParetoScheduler,
            {},
            {
                "metrics": "value?",
                "modes": "value?",
                "time_attr": "text",
                "max_t": "1|1.5|2**64|int64",
                "grace_period": "1|1.5|int64|float32",
                "reduction_factor": "above 1",
                "rule": "value",
                "niche": "text?",
            },
            {"metrics": "objectives", "modes": "metrics"},
        ),
        "stopping.make_rule": Walked(
            stopping.make_rule,
            {"name": "pareto", "reduction_factor": 3},
            {"name": "value", "reduction_factor": "above 1"},
            {"name": "rule"},
        ),
        "stopping.name_of": Walked(
            stopping.name_of, {"rule": stopping.make_rule("pareto", 3)}, {"rule": "value"}
        ),
        "stopping.rung_levels": Walked(
            stopping.rung_levels,
            {"grace_period": 1, "reduction_factor": 3, "max_t": 100},
            {
                "grace_period": "1|1.5|int64|float32",
                "reduction_factor": "above 1",
                "max_t": "1|1.5|2**64|int64",
            },
        ),
    }


class Outcome(tune.ExperimentAnalysis):
    trials = ()
