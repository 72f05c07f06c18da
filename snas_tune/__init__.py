"""A Pareto front of small, accurate networks, found by SNAS searches under Ray Tune.

Importing this package imports neither torch nor ray: each name below is loaded when it is first
read.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snas_tune.config import SearchConfig
    from snas_tune.front import ParetoFront
    from snas_tune.search.checkpoint import load_search, save_search
    from snas_tune.search.search import Search
    from snas_tune.space.cell.child import ChildNetwork
    from snas_tune.space.cell.genotype import Genotype
    from snas_tune.sweep import (
        ParetoScheduler,
        ParetoSearch,
        SnasTrainable,
        SweepSettings,
        make_tuner,
        run_sweep,
        sweep_space,
    )

__version__ = "0.1.0"

_HOMES = {
    "ChildNetwork": "space.cell.child",
    "Genotype": "space.cell.genotype",
    "ParetoFront": "front",
    "ParetoScheduler": "sweep",
    "ParetoSearch": "sweep",
    "Search": "search.search",
    "SearchConfig": "config",
    "SnasTrainable": "sweep",
    "SweepSettings": "sweep",
    "load_search": "search.checkpoint",
    "make_tuner": "sweep",
    "run_sweep": "sweep",
    "save_search": "search.checkpoint",
    "sweep_space": "sweep",
}

__all__ = [
    "ChildNetwork",
    "Genotype",
    "ParetoFront",
    "ParetoScheduler",
    "ParetoSearch",
    "Search",
    "SearchConfig",
    "SnasTrainable",
    "SweepSettings",
    "load_search",
    "make_tuner",
    "run_sweep",
    "save_search",
    "sweep_space",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
