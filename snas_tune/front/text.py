"""The front as text for a terminal: a fixed-width table, and a cell in a few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from snas_tune.genotype import Cell, Genotype

SHORT_OPS = {
    "max_pool_3x3": "max3",
    "avg_pool_3x3": "avg3",
    "skip_connect": "skip",
    "sep_conv_3x3": "sep3",
    "sep_conv_5x5": "sep5",
    "sep_conv_7x7": "sep7",
    "dil_conv_3x3": "dil3",
    "dil_conv_5x5": "dil5",
}
"""How :func:`short_cell` calls an op: the kind, and the width of its kernel."""

HEADER = ("acc %", "MFLOPs", "params", "strength", "temperature", "epoch", "trial", "cell")
"""The columns of :func:`front_text`."""

CAPTION = "acc %: validation top-1 of the child; MFLOPs: millions of multiply-adds of one image"
"""What it says above them."""

SMALL = 10.0
"""MFLOPs below which two decimals would not tell cells apart."""

LEFT = ("temperature", "trial", "cell")
"""Its columns that are set to the left; numbers are set to the right."""


def short_cell(genotype: str | Genotype) -> str:
    """How many edges the cells have, and which ops they carry.

    ``N 5 edges: 3xsep3 2xskip | R 1 edge: 1xmax3`` is a normal cell with three 3x3 separable
    convolutions and two skips and a reduction cell with one max pooling. The ops come with the most
    frequent first, then by name; the names are short as in :data:`SHORT_OPS`, others are whole.

    Args:
        genotype: as in the front file, or decoded.

    Raises:
        ValueError: the text is no genotype.
    """
    if isinstance(genotype, str):
        genotype = Genotype.from_json(genotype)
    return f"N {_short_ops(genotype.normal)} | R {_short_ops(genotype.reduction)}"


def schedule_text(row: Mapping[str, Any]) -> str:
    """The temperature schedule of a row, as ``linear 1 -> 0.03`` or ``constant 0.5``.

    Temperatures have three significant digits.
    """
    kind, start, end = (row[f"temperature_{part}"] for part in ("schedule", "start", "end"))
    return f"{kind} {start:.3g}" + ("" if kind == "constant" else f" -> {end:.3g}")


def front_text(front: Sequence[Mapping[str, Any]], limit: int | None = None) -> str:
    """Rows of the front file as a fixed-width table, one line each below a caption and a header.

    The columns are the child network's accuracy in percent, its FLOPs (multiply-adds of one image)
    in millions and its params; the penalty strength and temperature schedule of the search; and the
    epoch, the trial and the cell (:func:`short_cell`).

    Args:
        front: the rows, in the order in which they are shown.
        limit: at most so many rows, spread evenly with the first and the last among them; a last
            line then counts the others.

    Raises:
        ValueError: the limit is not positive, or a row's genotype is none.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be positive, got {limit}")
    places = list(range(len(front)))
    if limit is not None and limit < len(front):
        last = len(front) - 1
        places = sorted({round(i * last / max(1, limit - 1)) for i in range(limit)})
    shown = [front[place] for place in places]
    # One number of decimals for the whole column, so that the points stand below each other.
    decimals = 3 if any(row["flops"] < SMALL * 1e6 for row in shown) else 2
    lines = [HEADER, *(_line(row, decimals) for row in shown)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(map(_padded, line, HEADER, widths)).rstrip() for line in lines]
    hidden = len(front) - len(places)
    rest = [f"({hidden} more not shown)"] if hidden else []
    return "\n".join([CAPTION, *text, *rest])


def _short_ops(cell: Cell) -> str:
    counts = Counter(SHORT_OPS.get(edge.op, edge.op) for edge in cell.edges)
    ops = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    edges = "1 edge" if len(cell.edges) == 1 else f"{len(cell.edges)} edges"
    return ": ".join([edges, " ".join(f"{count}x{op}" for op, count in ops)] if ops else [edges])


def _line(row: Mapping[str, Any], decimals: int) -> tuple[str, ...]:
    return (
        f"{100 * row['child_accuracy']:.2f}",
        f"{row['flops'] / 1e6:.{decimals}f}",
        str(row["params"]),
        f"{row['penalty_strength']:.3g}",
        schedule_text(row),
        str(row["epoch"]),
        row["trial"],
        short_cell(row["genotype"]),
    )


def _padded(text: str, name: str, width: int) -> str:
    return text.ljust(width) if name in LEFT else text.rjust(width)
