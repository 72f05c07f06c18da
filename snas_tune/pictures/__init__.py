"""Pictures: architectures of any space as SVG text and as matplotlib figures, and the front.

Names are loaded when they are first read, so an SVG needs no matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snas_tune.pictures.canvas import figure_to_array, save
    from snas_tune.pictures.figures import architecture_figure
    from snas_tune.pictures.front_chart import front_figure
    from snas_tune.pictures.svg import architecture_svg

__all__ = [
    "architecture_figure",
    "architecture_svg",
    "figure_to_array",
    "front_figure",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "svg" if name.endswith("_svg") else "figures"
    return getattr(import_module(f"{__name__}.{home}"), name)
