"""The picture of a front: step line, axes, colours, markers, and what lies out of range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from charts import diverged, main_axes, mark, point
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.cbook import STEP_LOOKUP_MAP
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from snas_tune.pictures import (
    figure_to_array,
    front_figure,
)
from snas_tune.pictures.front_chart import attained
from snas_tune.pictures.scales import display, log_ticks, number, padded, spans_decades, window

VALUES = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20)), min_size=1, max_size=25)


def front_line(figure: Figure) -> Line2D:
    (line,) = [line for line in main_axes(figure).get_lines() if line.get_gid() == "front"]
    return line


def note(figure: Figure) -> str:
    return " ".join(text.get_text() for text in main_axes(figure).texts)


def drawn_value(line: Line2D, budget: float) -> float | None:
    """What the drawn polyline shows at a budget that is not one of its corners."""
    xs, ys = STEP_LOOKUP_MAP[line.get_drawstyle()](line.get_xdata(), line.get_ydata())
    for x, after, y, other in zip(xs, xs[1:], ys, ys[1:], strict=False):
        if x < budget < after:
            assert y == other  # flat between the corners
            return float(y)
    return None


@settings(deadline=None, max_examples=40)
@given(VALUES)
def test_the_step_line_shows_the_best_accuracy_within_each_budget(
    values: list[tuple[int, int]],
) -> None:
    rows = mark([point(cost, value) for cost, value in values])
    figure = front_figure(rows, log_cost=False)
    line = front_line(figure)
    border = main_axes(figure).get_xlim()[1]
    for budget in np.arange(0.5, min(border, max(cost for cost, _ in values))):
        within = [value for cost, value in values if cost <= budget]
        shown = drawn_value(line, budget)
        assert shown is None if not within else shown == pytest.approx(max(within))


@settings(deadline=None)
@given(VALUES, st.booleans(), st.booleans())
def test_attained_follows_its_definition_in_all_four_directions(
    values: list[tuple[int, int]], smaller_x: bool, larger_y: bool
) -> None:
    x, y = np.array(values, dtype=np.float64).T
    steps_x, steps_y, where = attained(x, y, smaller_x=smaller_x, larger_y=larger_y)
    assert np.all(np.diff(steps_x) > 0)
    best = max if larger_y else min
    for budget in np.arange(0.5, 41.0):
        allowed = [b for a, b in values if (a <= budget if smaller_x else a >= budget)]
        if where == "post":
            index = int(np.searchsorted(steps_x, budget, side="right")) - 1
        else:
            index = int(np.searchsorted(steps_x, budget, side="left"))
        shown = steps_y[index] if 0 <= index < len(steps_y) else None
        assert shown == (best(allowed) if allowed else None)
    assert where == ("post" if smaller_x else "pre")


def test_the_step_line_turns_with_the_modes() -> None:
    rows = [{"error": 0.2, "speed": 10.0}, {"error": 0.3, "speed": 30.0}]
    rows = [{**row, "on_front": True} for row in rows]
    figure = front_figure(rows, objectives=(("error", "min"), ("speed", "max")), log_cost=False)
    line = front_line(figure)
    assert drawn_value(line, 9.5) == 0.2
    assert drawn_value(line, 20.0) == 0.3
    assert line.get_xdata()[0] == main_axes(figure).get_xlim()[0]
    assert [main_axes(figure).get_xlabel(), main_axes(figure).get_ylabel()] == ["speed", "error"]


def test_the_line_holds_for_every_larger_budget() -> None:
    figure = front_figure(mark([point(10, 50), point(20, 60), point(25, 40)]))
    assert front_line(figure).get_xdata()[-1] == main_axes(figure).get_xlim()[1]


def test_axes_have_units() -> None:
    axes = main_axes(front_figure([point(10, 50)]))
    assert axes.get_xlabel() == "MFLOPs (multiply-adds of one image)"
    assert axes.get_ylabel() == "validation accuracy of the child (%)"
    assert display("latency_ms") == (1.0, "latency of one image (ms)")
    assert display("entropy") == (1.0, "entropy (share)")
    assert display("unheard_of") == (1.0, "unheard of")


def test_without_on_front_no_line_is_drawn() -> None:
    axes = main_axes(front_figure([point(10, 50), point(20, 60)]))
    assert not axes.get_lines()


def arrowheads(figure: Figure) -> int:
    """Points that are drawn outside the clip of the axes."""
    found = [c for c in main_axes(figure).collections if not c.get_clip_on()]
    return sum(len(c.get_offsets()) for c in found)


@pytest.mark.parametrize(("far", "near"), [(1, 30), (4, 30), (8, 30), (2, 6)])
def test_diverged_points_do_not_squash_the_front_and_are_counted(far: int, near: int) -> None:
    figure = front_figure(diverged(far, near))
    low, high = main_axes(figure).get_ylim()
    assert low > 80
    assert high < 95
    assert f"{far} out of range" in note(figure)
    assert arrowheads(figure) == far


def test_points_in_range_get_no_note_and_no_arrowheads() -> None:
    figure = front_figure(diverged(0))
    assert note(figure) == ""
    assert arrowheads(figure) == 0


def test_points_on_the_front_are_always_in_range() -> None:
    rows = mark([point(1, 10), *[point(100 + i, 90 + i / 10) for i in range(30)]])
    figure = front_figure(rows, log_cost=False)
    (low, high), (left, right) = main_axes(figure).get_ylim(), main_axes(figure).get_xlim()
    assert low < 10 < 93 < high
    assert left < 1 < 129 < right


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40),
    st.lists(st.floats(-1e6, 1e6), max_size=5),
)
def test_a_window_holds_the_front_and_most_values(values: list[float], always: list[float]) -> None:
    low, high = window(np.array(values), np.array(always))
    assert all(low <= value <= high for value in always)
    inside = sum(low <= value <= high for value in values)
    assert inside * 2 >= len(values)
    assert low in values + always
    assert high in values + always


def test_a_window_leaves_out_what_is_far_only() -> None:
    even = np.arange(100.0)
    none = np.array([])
    assert window(even, none) == (0.0, 99.0)
    assert window(np.append(even, 1e4), none) == (0.0, 99.0)
    assert window(np.append(even, 1e4), np.array([1e4])) == (0.0, 1e4)
    assert window(np.array([3.0]), none) == (3.0, 3.0)
    assert window(np.array([5.0] * 30 + [6.0]), none) == (5.0, 5.0)


def test_a_range_without_width_is_widened() -> None:
    assert padded(1.0, 2.0) == pytest.approx((0.94, 2.06))
    assert padded(0.0, 0.0) == (-1.0, 1.0)
    assert padded(4.0, 4.0) == pytest.approx((3.8, 4.2))


def test_not_finite_points_are_left_out_and_counted() -> None:
    bad = [
        point(10, math.nan),
        point(math.inf, 50),
        {"flops": 1e6},
        {"flops": None, "child_accuracy": 0.5},
    ]
    figure = front_figure([*bad, *diverged(0)])
    assert note(figure) == "4 left out, as not finite"
    assert "no points to show: 4 left out, as not finite" in note(front_figure(bad))


def test_no_points_give_a_picture_that_says_so() -> None:
    figure = front_figure([], title="t")
    assert note(figure) == "no points yet"
    assert figure_to_array(figure).std() > 0


@pytest.mark.parametrize(
    ("costs", "log_cost", "scale"),
    [
        ((1, 30), None, "linear"),
        ((1, 31), None, "log"),
        ((0, 1, 20), None, "linear"),
        ((0, 1, 31), None, "symlog"),
        ((1, 2), True, "log"),
        ((0, 2), True, "symlog"),
        ((1, 1000), False, "linear"),
        ((0, 0), True, "linear"),
    ],
)
def test_costs_that_span_decades_get_a_log_axis_on_which_zero_keeps_a_place(
    costs: tuple[int, ...], log_cost: bool | None, scale: str
) -> None:
    rows = mark([point(cost, 50 + i) for i, cost in enumerate(costs)])
    figure = front_figure(rows, log_cost=log_cost)
    axes = main_axes(figure)
    assert axes.get_xscale() == scale
    left, right = axes.get_xlim()
    assert all(left < cost < right for cost in costs)
    assert arrowheads(figure) == 0
    if scale == "symlog":
        assert 0.0 in axes.get_xticks()
        axes.figure.draw_without_rendering()  # type: ignore[union-attr]
        places = axes.transData.transform([(cost, 50.0) for cost in sorted(set(costs))])[:, 0]
        assert np.all(np.diff(places) > 150)  # pixels: zero is apart from the least positive cost


def test_log_ticks_are_round_and_inside() -> None:
    assert log_ticks(1.0, 10.0) == [1.0, 2.0, 5.0, 10.0]
    assert log_ticks(3.0, 4.0) == []
    assert log_ticks(0.5, 2e6) == pytest.approx([1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6])
    assert not spans_decades(np.array([0.0, 0.0]))
    assert spans_decades(np.array([0.0, 1.0, 40.0]))


def test_the_front_is_coloured_by_the_logarithm_of_the_penalty_strength() -> None:
    rows = mark([point(10 + i, 50 + i, penalty_strength=10.0 ** (i - 5)) for i in range(5)])
    rows += [point(30, 40, penalty_strength=1.0)]
    figure = front_figure(rows)
    axes, bar = figure.axes
    assert bar.get_ylabel() == "penalty strength (points on the front)"
    (colours,) = [c for c in axes.collections if c.get_array() is not None]
    assert np.asarray(colours.get_array()) == pytest.approx([-5.0, -4.0, -3.0, -2.0, -1.0])
    figure.draw_without_rendering()
    shown = [text.get_text() for text in bar.get_yticklabels()]
    assert shown == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]


def test_penalty_strengths_within_a_decade_get_round_ticks_too() -> None:
    rows = mark([point(10 + i, 50 + i, penalty_strength=0.6 + 0.1 * i) for i in range(5)])
    figure = front_figure(rows)
    figure.draw_without_rendering()
    shown = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert len(shown) >= 3
    assert all(len(text) <= 4 and 0.6 <= float(text) <= 1.0 for text in shown)


@pytest.mark.parametrize("strength", [0.0, None, math.nan, 1e-3])
def test_one_point_or_no_penalty_strength_is_drawn_too(strength: float | None) -> None:
    figure = front_figure(mark([point(10, 50, penalty_strength=strength)]))
    assert len(figure.axes) == (2 if strength == 1e-3 else 1)
    assert figure_to_array(figure).std() > 0


def legend_words(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_schedules_get_markers_and_a_legend() -> None:
    names = ["exponential", "co$ine", "exponential", ""]
    rows = mark([point(10 + i, 50, temperature_schedule=name) for i, name in enumerate(names)])
    figure = front_figure(rows)
    assert {"exponential", "co$ine", "no schedule", "dominated"} <= set(legend_words(figure))
    assert not any(text.get_parse_math() for text in figure.legends[0].get_texts())
    # A schedule is a shape of any colour, and what is grey is dominated.
    (legend,) = figure.legends
    faces = {
        text.get_text(): getattr(handle, "get_facecolor", list)()
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    assert [len(faces[name]) for name in ("exponential", "no schedule", "dominated")] == [0, 0, 1]
    assert figure_to_array(figure).std() > 0


def test_the_reference_point_is_marked_and_told_where_it_is_when_out_of_range() -> None:
    rows = diverged(0)
    figure = front_figure(rows, reference=(0.10, 500e6))
    assert "reference point, out of range at (500, 10)" in legend_words(figure)
    marks = [c.get_offsets() for c in main_axes(figure).collections if not c.get_clip_on()]
    ((x, y),) = np.concatenate(marks)
    assert (x, y) == (main_axes(figure).get_xlim()[1], main_axes(figure).get_ylim()[0])
    assert "reference point" in legend_words(front_figure(rows, reference=(0.86, 20e6)))


def test_front_figure_refuses_other_objectives() -> None:
    with pytest.raises(ValueError, match="objectives must be two or more, got"):
        front_figure([], objectives=(("flops", "min"),))
    with pytest.raises(ValueError, match="mode of an objective must be max or min, got 'low'"):
        front_figure([], objectives=(("child_accuracy", "max"), ("flops", "low")))
    with pytest.raises(ValueError, match="value for each of two objectives, got 3"):
        front_figure([], reference=(1.0, 2.0, 3.0))


def test_number_reads_what_is_a_number() -> None:
    assert number({"a": "0.5"}, "a") == 0.5
    for row in ({}, {"a": None}, {"a": "x"}, {"a": [1]}):
        assert math.isnan(number(row, "a"))
