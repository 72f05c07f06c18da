"""Learning curves of a sweep's trials, as small multiples over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from snas_tune.pictures.canvas import new_figure
from snas_tune.pictures.scales import Values, display, log_ticks, number, spans_decades
from snas_tune.pictures.style import LIGHT

PANELS = (
    ("child_accuracy", "flops", "entropy"),
    ("accuracy", "expected_flops", "temperature"),
)
"""The metrics, as they are laid out: the child network's above those of the supernet."""

SHARED_COLUMNS = 2
"""Of the first columns both panels have the same vertical axis, so they can be compared."""

MOST = 12
"""Trials that a legend names. More get the colours of a ramp and no legend."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito (2008), used a second time with a marker."""

NAME_LENGTH = 40


def learning_curves_figure(
    results: Mapping[str, Sequence[Mapping[str, Any]]], *, title: str = ""
) -> Figure:
    """Accuracies, FLOPs, entropy and temperature against the epoch, one line for each trial.

    Args:
        results: the reports of each trial in order, by the trial's name; metrics as in
            :data:`snas_tune.results.METRICS`. A missing, infinite or NaN value leaves a gap.
        title: shown above.
    """
    figure = new_figure(13.0, 7.6)
    figure.suptitle(title, parse_math=False, fontsize=13)
    if not any(results.values()):
        figure.text(0.5, 0.5, "no reports yet", ha="center", fontsize=14, color=LIGHT.pale_ink)
        return figure
    grid = figure.subplots(2, len(PANELS[0]), sharex=True)
    styles = _styles(list(results))
    for axes_row, metrics in zip(grid, PANELS, strict=True):
        for axes, metric in zip(axes_row, metrics, strict=True):
            _panel(axes, results, styles, metric)
    for column, (upper, lower) in enumerate(grid.T):
        lower.set_xlabel("epoch")
        if column < SHARED_COLUMNS:
            lower.sharey(upper)
            upper.autoscale_view()
        for axes in (upper,) if column < SHARED_COLUMNS else (upper, lower):
            _scale(axes)
    if len(results) <= MOST:
        _trial_legend(figure, styles)
    else:
        figure.supxlabel(f"{len(results)} trials, from the first (dark) to the last", fontsize=9)
    return figure


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each trial."""
    if len(names) > MOST:
        ramp = colormaps["viridis"](np.linspace(0.0, 0.9, len(names)))
        return {
            name: {"color": tuple(colour), "linewidth": 0.8, "markersize": 2.5}
            for name, colour in zip(names, ramp, strict=True)
        }
    markers = ("", "o")
    return {
        name: {
            "color": COLOURS[i % len(COLOURS)],
            "marker": markers[i // len(COLOURS)],
            "markersize": 4.0,
            "linewidth": 1.4,
        }
        for i, name in enumerate(names)
    }


def _panel(
    axes: Axes,
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    styles: Mapping[str, Mapping[str, Any]],
    metric: str,
) -> None:
    factor, label = display(metric)
    for name, rows in results.items():
        epochs = np.array([number(row, "epoch") for row in rows])
        values = np.array([number(row, metric) for row in rows]) * factor
        values[~np.isfinite(values)] = np.nan
        style = dict(styles[name])
        if len(rows) == 1:
            style["marker"] = "o"  # a line needs two points to be seen
        axes.plot(epochs, values, markevery=max(1, len(rows) // 8), **style)
    axes.set_title(label, fontsize=10, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#E3E7EA", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _scale(axes: Axes) -> None:
    """A logarithmic axis where values, of all panels that share it, differ by decades."""
    together = axes.get_shared_y_axes().get_siblings(axes)
    lines = [line for panel in together for line in panel.get_lines()]
    values: Values = np.concatenate([[], *[np.asarray(line.get_ydata()) for line in lines]])
    if not spans_decades(values):
        return
    positive = values[values > 0.0]
    for panel in together:
        panel.set_yscale("log", nonpositive="mask")
        panel.yaxis.set_major_locator(FixedLocator(log_ticks(positive.min(), positive.max())))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))


def _trial_legend(figure: Figure, styles: Mapping[str, Mapping[str, Any]]) -> None:
    legend = figure.legend(
        [Line2D([], [], **style) for style in styles.values()],
        [f"trial {index}" for index in range(len(styles))],
        loc="outside lower center",
        ncols=min(4, len(styles)),
        fontsize=9,
        frameon=False,
    )
    # Set afterwards: Matplotlib drops labels that begin with an underscore.
    for text, name in zip(legend.get_texts(), styles, strict=True):
        text.set_parse_math(False)
        text.set_text(name if len(name) <= NAME_LENGTH else "…" + name[1 - NAME_LENGTH :])
