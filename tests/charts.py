"""Points of a sweep to draw, and what tests read of figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def point(mflops: float, percent: float, **more: Any) -> dict[str, Any]:
    return {"flops": mflops * 1e6, "child_accuracy": percent / 100.0, **more}


def main_axes(figure: Figure) -> Axes:
    return figure.axes[0]


def mark(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """``on_front`` by the definition of domination."""
    table = [(row["flops"], -row["child_accuracy"]) for row in rows]
    return [
        {**row, "on_front": not any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in table)}
        for row, a in zip(rows, table, strict=True)
    ]


def diverged(far: int, near: int = 30) -> list[dict[str, Any]]:
    good = [point(10 + i, 85 + i / 10) for i in range(near)]
    return mark(good + [point(15 + i, 10) for i in range(far)])
