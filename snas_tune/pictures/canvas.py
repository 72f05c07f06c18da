"""Matplotlib figures without global state: made, turned into pixels, and written to files.

Nothing here or in the modules that draw imports ``pyplot``, so a figure belongs to its caller alone
and is freed with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from snas_tune.arguments import checked
from snas_tune.checks import is_instance
from snas_tune.files import replacing
from snas_tune.text_checks import PATH
from snas_tune.values import shown

SUFFIXES = (".png", ".svg", ".pdf")
"""The files that :func:`save` writes."""

_NO_DATES: dict[str, dict[str, str | None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def new_figure(width: float, height: float, *, dpi: float = 144.0, tight: bool = True) -> Figure:
    """An empty figure on the Agg canvas.

    Args:
        width: in inches.
        height: in inches.
        dpi: pixels to the inch.
        tight: let the layout make room for labels and legends.
    """
    figure = Figure(
        figsize=(width, height),
        dpi=dpi,
        facecolor="white",
        layout="constrained" if tight else None,
    )
    FigureCanvasAgg(figure)
    return figure


@checked
def save(
    figure: Annotated[Figure, is_instance(Figure)],
    path: Annotated[str | os.PathLike[str], PATH],
) -> Path:
    """Write ``figure`` to ``path``, replacing the file at once or not at all.

    The same figure gives the same bytes: no dates, and fixed ids in SVG.

    Args:
        figure: the figure.
        path: its suffix, one of :data:`SUFFIXES`, says the format. Folders are made.

    Returns:
        The path.

    Raises:
        ValueError: the suffix is another.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"path of a picture must end in one of {', '.join(SUFFIXES)}, got {shown(str(path))}"
        )
    with replacing(path) as part, matplotlib.rc_context({"svg.hashsalt": "snas_tune"}):
        figure.savefig(part, format=suffix[1:], metadata=_NO_DATES[suffix])
    return path


@checked
def figure_to_array(figure: Annotated[Figure, is_instance(Figure)]) -> NDArray[np.uint8]:
    """The figure's pixels, ``uint8`` of shape (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    return np.asarray(pixels, dtype=np.uint8)[..., :3].copy()
