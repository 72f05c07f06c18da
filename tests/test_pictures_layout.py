from __future__ import annotations

import itertools
from collections import Counter
from xml.etree import ElementTree

import pytest
from drawings import (
    cell_svg,
    cells,
    chain,
    close,
    curve,
    dense,
    edges,
    overlap,
    pills,
    sides,
    within,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.pictures.shapes import Box, strokes
from snas_tune.pictures.style import text_width
from snas_tune.pictures.svg import architecture_svg
from snas_tune.space.cell.drawing.columns import crossings, grid, isotonic
from snas_tune.space.cell.drawing.layout import EMPTY_NOTE, layout
from snas_tune.space.cell.genotype import INPUTS, Cell, Edge, Genotype


@settings(deadline=None, max_examples=60)
@given(cells())
def test_every_edge_has_exactly_one_pill_in_the_block_of_its_target(cell: Cell) -> None:
    assert Counter(edges(layout(cell))) == Counter(cell.edges)


@settings(deadline=None, max_examples=60)
@given(cells())
def test_blocks_and_pills_do_not_overlap_and_lie_inside(cell: Cell) -> None:
    drawn = layout(cell)
    whole = Box(0.0, 0.0, drawn.width, drawn.height)
    for one, other in itertools.combinations(drawn.blocks, 2):
        assert not overlap(one.box, other.box)
    for one_pill, other_pill in itertools.combinations(pills(drawn), 2):
        assert not overlap(one_pill.box, other_pill.box)
    for block in drawn.blocks:
        assert within(block.box, whole)
        assert all(within(pill.box, block.box) for pill in block.pills)


@settings(deadline=None, max_examples=60)
@given(cells())
def test_texts_fit_their_pill_and_miss_the_pills_of_their_block(cell: Cell) -> None:
    drawn = layout(cell)

    def extent(label: object, text: str, x: float, y: float, size: float) -> Box:
        width = text_width(text, size)
        return Box(x - width / 2, y - size / 2, width, size)

    for block in drawn.blocks:
        for pill in block.pills:
            label = pill.label
            text = extent(label, label.text, label.x, label.y, label.size)
            assert within(text, pill.box)
        for label in block.labels:
            short = label.text if label.text.isalnum() else "ck-2"
            text = extent(label, short, label.x, label.y, label.size)
            assert within(text, block.box)
            assert not any(overlap(text, pill.box) for pill in block.pills)
    for note in drawn.notes:
        text = extent(note, note.text, note.x, note.y, note.size)
        assert within(text, Box(0.0, 0.0, drawn.width, drawn.height))
        assert not any(overlap(text, block.box) for block in drawn.blocks)


@settings(deadline=None, max_examples=60)
@given(cells())
def test_connectors_start_at_their_block_and_end_at_their_pill_or_the_output(cell: Cell) -> None:
    drawn = layout(cell)
    blocks = {block.number: block for block in drawn.blocks}
    output = max(blocks)
    ends: Counter[tuple[int, int]] = Counter()
    for line in drawn.connectors:
        assert any(close(line.points[0], side) for side in sides(blocks[line.source].box))
        ends[line.source, line.target] += 1
        if line.target != output:
            places = [
                side
                for pill in blocks[line.target].pills
                if pill.source == line.source
                for side in sides(pill.box)
            ]
            assert any(close(line.points[-1], place) for place in places)
        else:
            box = blocks[output].box
            x, y = line.points[-1]
            assert box.x - 1e-6 <= x <= box.right
            assert box.y - 1e-6 <= y <= box.bottom
    wanted = Counter((edge.source, edge.target) for edge in cell.edges)
    if cell.edges:
        wanted.update((node, output) for node in cell.concat)
    assert ends == wanted
    arrivals = [line.points[-1] for line in drawn.connectors]
    assert len(set(arrivals)) == len(arrivals)


@settings(deadline=None, max_examples=60)
@given(cells())
def test_no_connector_crosses_a_block_that_it_does_not_join(cell: Cell) -> None:
    drawn = layout(cell)
    for line in drawn.connectors:
        for block in drawn.blocks:
            if block.number in (line.source, line.target):
                continue
            box = block.box
            for x, y in curve(line):
                assert not (
                    box.x + 1e-6 < x < box.right - 1e-6 and box.y + 1e-6 < y < box.bottom - 1e-6
                )


@settings(deadline=None, max_examples=60)
@given(cells())
def test_connectors_enter_their_target_only_between_its_border_and_the_pill(cell: Cell) -> None:
    drawn = layout(cell)
    everything = {block.number: block for block in drawn.blocks}
    for line in drawn.connectors:
        for x, y in curve(line):
            for pill in everything[line.target].pills:
                box = pill.box
                assert not (
                    box.x + 1e-6 < x < box.right - 1e-6 and box.y + 1e-6 < y < box.bottom - 1e-6
                )


@settings(deadline=None, max_examples=60)
@given(cells(), st.tuples(st.booleans(), st.booleans()))
def test_dead_is_what_the_live_cell_lacks(cell: Cell, inputs: tuple[bool, bool]) -> None:
    drawn = layout(cell, inputs)
    live = cell.live(inputs)
    assert Counter(edges(drawn, live=True)) == Counter(live.edges)
    output = INPUTS + cell.nodes if cell.edges else INPUTS
    for block in drawn.blocks:
        if block.number < INPUTS:
            assert block.dead == (not inputs[block.number])
        elif block.number == output:
            assert block.dead == (not live.edges)
        else:
            used = block.number in live.concat or live.uses(block.number)
            assert block.dead == (not used)
            assert block.dead == ("dead" in [label.text for label in block.labels])
    shown = {block.number for block in drawn.blocks}
    if cell.edges:
        absent = [str(n) for n in range(INPUTS, INPUTS + cell.nodes) if n not in shown]
        notes = " ".join(note.text for note in drawn.notes)
        assert (", ".join(absent) in notes) if absent else ("left out" not in notes)
        assert ("passes nothing on" in notes) == (not live.edges)


def test_a_cell_without_edges_says_so() -> None:
    for cell in (Cell(0, (), ()), Cell(4, (), (2, 3, 4, 5))):
        drawn = layout(cell)
        assert [note.text for note in drawn.notes] == [EMPTY_NOTE]
        assert [block.number for block in drawn.blocks] == [0, 1, 2]
        assert drawn.connectors == ()
        assert EMPTY_NOTE in cell_svg(cell)


def test_two_edges_between_the_same_nodes_get_two_pills_and_two_lines() -> None:
    twice = Edge("avg_pool_3x3", 0, 2)
    drawn = layout(Cell(1, (twice, twice), (2,)))
    assert edges(drawn) == [twice, twice]
    assert [line.target for line in drawn.connectors] == [2, 2, 3]


@pytest.mark.parametrize(
    ("cell", "across"), [(dense(3), True), (dense(4), False), (chain(8), False)]
)
def test_deep_cells_run_from_top_to_bottom(cell: Cell, across: bool) -> None:
    drawn = layout(cell)
    by_node = {block.number: block.box for block in drawn.blocks}
    order = [by_node[0], *[by_node[n] for n in range(2, 3 + cell.nodes)]]
    for one, other in itertools.pairwise(order):
        assert one.right < other.x if across else one.bottom < other.y


def test_usual_cells_fit_a_screen_at_full_size() -> None:
    for cell in (dense(4), chain(5), dense(3)):
        drawn = layout(cell)
        assert drawn.width <= 1280
        assert drawn.height <= 800
    root = ElementTree.fromstring(architecture_svg(Genotype(dense(4), dense(4)), title="dense"))
    assert float(root.attrib["width"]) <= 1280
    assert float(root.attrib["height"]) <= 800


def test_a_plain_chain_is_straight() -> None:
    cell = Cell(5, tuple(Edge("skip_connect", s, s + 1) for s in range(1, 6)), (6,))
    for line in layout(cell).connectors:
        assert line.points[0][0] == pytest.approx(line.points[-1][0], abs=1.0)


@settings(deadline=None, max_examples=60)
@given(cells())
def test_shared_pieces_are_stroked_once_and_none_is_lost(cell: Cell) -> None:
    drawn = layout(cell)
    pieces = [piece for _, group in strokes(drawn.connectors) for piece in group]
    wanted = {
        (line.dead, line.points[i : i + 4])
        for line in drawn.connectors
        for i in range(0, len(line.points) - 1, 3)
    }
    assert len(pieces) == len(wanted)
    assert set(pieces) == {piece for _, piece in wanted}
    assert [dead for dead, _ in strokes(drawn.connectors)] == sorted(
        (dead for dead, _ in strokes(drawn.connectors)), reverse=True
    )


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=5))
def test_isotonic_is_the_nearest_ascending_sequence(values: list[int]) -> None:
    fitted = isotonic([float(value) for value in values])
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(fitted))
    # The min-max formula of isotonic regression: fit_i = max over j<=i of min over k>=i of mean.
    n = len(values)
    for i in range(n):
        best = max(
            min(sum(values[j : k + 1]) / (k + 1 - j) for k in range(i, n)) for j in range(i + 1)
        )
        assert fitted[i] == pytest.approx(best)


@settings(deadline=None, max_examples=60)
@given(cells())
def test_ordering_never_adds_crossings_and_keeps_the_inputs_in_order(cell: Cell) -> None:
    plan = grid(cell)
    plain = tuple(tuple(sorted(column)) for column in plan.columns)
    assert crossings(plan.columns, plan.links) <= crossings(plain, plan.links)
    assert [node for _, node in plan.columns[0]] == [0, 1]


def test_nodes_and_pills_are_ordered_so_that_lines_need_not_cross() -> None:
    swapped = Cell(2, (Edge("skip_connect", 1, 2), Edge("skip_connect", 0, 3)), (2, 3))
    plan = grid(swapped)
    assert crossings(plan.columns, plan.links) == 0
    (block,) = [
        block
        for block in layout(Cell(1, (Edge("x", 1, 2), Edge("y", 0, 2)), (2,))).blocks
        if block.pills
    ]
    upper, lower = sorted(block.pills, key=lambda pill: pill.box.y)
    assert (upper.source, lower.source) == (0, 1)


def test_crossings_are_counted_pair_by_pair() -> None:
    columns = (((0, 0), (0, 1)), ((1, 2), (1, 3)))
    straight = [((0, 0), (1, 2)), ((0, 1), (1, 3))]
    crossed = [((0, 0), (1, 3)), ((0, 1), (1, 2))]
    assert crossings(columns, straight) == 0
    assert crossings(columns, crossed) == 1
    assert crossings(columns, straight + crossed) == 1
