"""Pictures: cells as SVG text, and cells, the front and learning curves as matplotlib figures.

Names are loaded when they are first read, so the SVG of a cell needs no matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snas_tune.pictures.canvas import figure_to_array, save
    from snas_tune.pictures.curves_chart import learning_curves_figure
    from snas_tune.pictures.figures import cell_figure
    from snas_tune.pictures.front_chart import front_figure
    from snas_tune.pictures.svg import cell_svg, genotype_svg

__all__ = [
    "cell_figure",
    "cell_svg",
    "figure_to_array",
    "front_figure",
    "genotype_svg",
    "learning_curves_figure",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "svg" if name.endswith("_svg") else "figures"
    return getattr(import_module(f"{__name__}.{home}"), name)
