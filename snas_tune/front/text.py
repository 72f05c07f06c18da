"""The front as text for a terminal: a fixed-width table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from snas_tune.architecture import read_architecture
from snas_tune.arguments import checked
from snas_tune.checks import COUNT
from snas_tune.files import read_json
from snas_tune.objective_checks import ROWS
from snas_tune.results import ARCHITECTURE, BALANCED, metric_of

HEADER = ("acc %", "MFLOPs", "params", "strength", "temperature", "epoch", "trial", "architecture")
"""The columns of :func:`front_text`."""

CAPTION = "acc %: {} of the child; MFLOPs: millions of multiply-adds of one image"
"""The line above the header, for one of :data:`MEANINGS`."""

MEANINGS = {
    "accuracy": "validation top-1",
    BALANCED: "balanced validation accuracy (each class alike)",
}
"""What the accuracy is, by the metric of the searches."""

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
    epoch, the trial and the architecture in short. A star marks a child with more FLOPs than the
    target of its search, which the last line states.

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
    over = [over_target(row) for row in shown]
    marks = ["*" if each else " " for each in over] if any(over) else [""] * len(shown)
    rows = (_line(row, decimals, mark) for row, mark in zip(shown, marks, strict=True))
    lines = [HEADER, *(tuple(map(_printable, line)) for line in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(map(_padded, line, HEADER, widths)).rstrip() for line in lines]
    hidden = len(front) - len(places)
    rest = [f"({hidden} more not shown)"] if hidden else []
    caption = CAPTION.format(MEANINGS[metric_of(front)])
    targets = sorted({target for target in over if target is not None})
    if targets:
        rest.append(f"* over the target of {' or '.join(map(mflops, targets))}")
    return "\n".join([caption, *text, *rest])


def mflops(flops: float) -> str:
    """Multiply-adds in millions, as ``0.7 MFLOPs``."""
    return f"{flops / 1e6:.6g} MFLOPs"


def over_target(row: Mapping[str, Any]) -> float | None:
    """The FLOPs to which the search of a row was held, if its child has more."""
    try:
        target = read_json(row["config"]).get("target_flops")
    except (ValueError, AttributeError):  # a front file may be anybody's
        return None
    return target if isinstance(target, (int, float)) and row["flops"] > target else None


def _line(row: Mapping[str, Any], decimals: int, mark: str) -> tuple[str, ...]:
    return (
        f"{100 * row['child_accuracy']:.2f}",
        f"{row['flops'] / 1e6:.{decimals}f}{mark}",
        str(row["params"]),
        f"{row['penalty_strength']:.3g}",
        schedule_text(row),
        str(row["epoch"]),
        row["trial"],
        read_architecture(row[ARCHITECTURE]).summary(),
    )


def _printable(text: str) -> str:
    """A text without what would move a terminal's cursor or change its colours."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _padded(text: str, name: str, width: int) -> str:
    return text.ljust(width) if name in LEFT else text.rjust(width)
