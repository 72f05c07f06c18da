"""The front as text for a terminal: a fixed-width table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from snas_tune.architecture import read_architecture
from snas_tune.arguments import checked
from snas_tune.checks import COUNT
from snas_tune.objective_checks import ROWS
from snas_tune.results import ARCHITECTURE

HEADER = ("acc %", "MFLOPs", "params", "strength", "temperature", "epoch", "trial", "architecture")
"""The columns of :func:`front_text`."""

CAPTION = "acc %: validation top-1 of the child; MFLOPs: millions of multiply-adds of one image"
"""The line above the header."""

SMALL = 10.0
"""MFLOPs below which two decimals would not tell children apart."""

LEFT = ("temperature", "trial", "architecture")
"""Its columns that are set to the left; numbers are set to the right."""


def schedule_text(row: Mapping[str, Any]) -> str:
    """The temperature schedule of a row, as ``linear 1 -> 0.03`` or ``constant 0.5``.

    Temperatures have three significant digits.
    """
    kind, start, end = (row[f"temperature_{part}"] for part in ("schedule", "start", "end"))
    return f"{kind} {start:.3g}" + ("" if kind == "constant" else f" -> {end:.3g}")


@checked
def front_text(
    front: Annotated[Sequence[Mapping[str, Any]], ROWS],
    limit: Annotated[int | None, COUNT] = None,
) -> str:
    """Rows of the front file as a fixed-width table, one line each below a caption and a header.

    The columns are the child network's accuracy in percent, its FLOPs (multiply-adds of one image)
    in millions and its params; the penalty strength and temperature schedule of the search; and the
    epoch, the trial and the architecture in short.

    Args:
        front: the rows, in the order in which they are shown.
        limit: at most so many rows, spread evenly with the first and the last among them; a last
            line then counts the others.

    Raises:
        ValueError: the limit is not positive, or a row's architecture is none.
    """
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


def _line(row: Mapping[str, Any], decimals: int) -> tuple[str, ...]:
    return (
        f"{100 * row['child_accuracy']:.2f}",
        f"{row['flops'] / 1e6:.{decimals}f}",
        str(row["params"]),
        f"{row['penalty_strength']:.3g}",
        schedule_text(row),
        str(row["epoch"]),
        row["trial"],
        read_architecture(row[ARCHITECTURE]).summary(),
    )


def _padded(text: str, name: str, width: int) -> str:
    return text.ljust(width) if name in LEFT else text.rjust(width)
