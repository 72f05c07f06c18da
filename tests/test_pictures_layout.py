from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import Counter
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.pictures.shapes import Block, Box, Connector, Layout, Pill, strokes
from snas_tune.pictures.sheets import sheet_of
from snas_tune.pictures.style import DARK, LIGHT, PILL_COLOURS, PILL_INK, text_width
from snas_tune.pictures.svg import architecture_svg
from snas_tune.space.cell.drawing.columns import crossings, grid, isotonic
from snas_tune.space.cell.drawing.layout import EMPTY_NOTE, layout, node_name
from snas_tune.space.cell.drawing.ops import FAMILY_COLOURS, op_family, op_label
from snas_tune.space.cell.genotype import INPUTS, Cell, Edge, Genotype, cell_edges

SVG = "{http://www.w3.org/2000/svg}"
SEARCHED = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_5x5")
PRINTED = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
OPS = st.one_of(
    st.sampled_from(SEARCHED),
    st.sampled_from(["a<b>&\"'", "]]>", "<!--", "&amp;", "c_{k-2}", "\u6f22\u5b57", "x\x00\x1fy"]),
    PRINTED.filter(lambda op: op != "none"),
)


@st.composite
def cells(draw: st.DrawFn, ops: st.SearchStrategy[str] = OPS) -> Cell:
    nodes = draw(st.integers(0, 8))
    pairs = cell_edges(nodes)
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=30)) if pairs else []
    edges = tuple(Edge(draw(ops), source, target) for source, target in chosen)
    members = range(INPUTS, INPUTS + nodes)
    return Cell(nodes, edges, tuple(node for node in members if draw(st.booleans())))


def dense(nodes: int) -> Cell:
    edges = tuple(Edge(SEARCHED[(s + t) % 5], s, t) for s, t in cell_edges(nodes))
    return Cell(nodes, edges, tuple(range(INPUTS, INPUTS + nodes)))


def chain(nodes: int) -> Cell:
    edges = tuple(
        Edge("sep_conv_3x3", max(0, t - 1) if t > 2 else 0, t) for t in range(2, 2 + nodes)
    )
    return Cell(nodes, edges, tuple(range(INPUTS, INPUTS + nodes)))


def pills(drawn: Layout) -> list[Pill]:
    return [pill for block in drawn.blocks for pill in block.pills]


def edges(drawn: Layout, *, live: bool = False) -> list[Edge]:
    """The edges that the pills stand for, or only the live ones."""
    output = max(block.number for block in drawn.blocks)
    found = []
    for block in drawn.blocks:
        for pill in block.pills:
            assert pill.source is not None
            where = f" of {node_name(pill.source, output)} into node {block.number}"
            hint = pill.hint.removesuffix(" (dead)") if pill.dead else pill.hint
            assert hint.endswith(where)
            if not (live and pill.dead):
                found.append(Edge(hint.removesuffix(where), pill.source, block.number))
    return found


def cell_svg(cell: Cell, *, title: str = "", dark: bool = False) -> str:
    return architecture_svg(Genotype(cell, cell), title=title, part="normal", dark=dark)


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.right
        and other.x < one.right
        and one.y < other.bottom
        and other.y < one.bottom
    )


def within(inner: Box, outer: Box, slack: float = 1e-6) -> bool:
    return (
        inner.x >= outer.x - slack
        and inner.y >= outer.y - slack
        and inner.right <= outer.right + slack
        and inner.bottom <= outer.bottom + slack
    )


def curve(line: Connector, steps: int = 16) -> list[tuple[float, float]]:
    """Points on a connector, by Bernstein's polynomials."""
    found = []
    for i in range(0, len(line.points) - 1, 3):
        piece = line.points[i : i + 4]
        for step in range(steps + 1):
            t = step / steps
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            found.append(
                (
                    sum(w * p[0] for w, p in zip(weights, piece, strict=True)),
                    sum(w * p[1] for w, p in zip(weights, piece, strict=True)),
                )
            )
    return found


def sides(box: Box) -> list[tuple[float, float]]:
    x, y = box.centre
    return [(box.x, y), (box.right, y), (x, box.y), (x, box.bottom)]


def close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one == pytest.approx(other, abs=1e-6)


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


@pytest.mark.parametrize(
    ("op", "label", "family"),
    [
        ("sep_conv_3x3", "sep 3x3", "separable"),
        ("dil_conv_5x5", "dil 5x5", "dilated"),
        ("max_pool_3x3", "max pool 3x3", "pool"),
        ("avg_pool_3x3", "avg pool 3x3", "pool"),
        ("skip_connect", "skip", "skip"),
        ("conv_7x1_1x7", "conv_7x1_1x7", "other"),
        ("sep_conv_3x3_extra", "sep_conv_3x3_extra", "separable"),
        ("spooled", "spooled", "other"),
    ],
)
def test_known_ops_are_shortened_and_others_stay(op: str, label: str, family: str) -> None:
    assert op_label(op) == label
    assert op_family(op) == family


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_texts_have_the_contrast_of_wcag_aa() -> None:
    assert set(FAMILY_COLOURS.values()) == set(PILL_COLOURS)
    assert len(set(PILL_COLOURS.values())) == len(PILL_COLOURS) == len(FAMILY_COLOURS)
    assert all(contrast(PILL_INK, fill) >= 4.5 for fill in PILL_COLOURS.values())
    for palette in (LIGHT, DARK):
        for ground in (palette.paper, palette.card):
            assert contrast(palette.ink, ground) >= 7
            assert contrast(palette.pale_ink, ground) >= 4.5
        assert contrast(palette.line, palette.paper) >= 3


def texts(root: ElementTree.Element, name: str) -> list[str]:
    return ["".join(found.itertext()) for found in root.iter(f"{SVG}{name}")]


@settings(deadline=None, max_examples=60)
@given(cells(), st.text(max_size=20), st.booleans())
def test_any_cell_gives_valid_svg_that_names_every_edge(cell: Cell, title: str, dark: bool) -> None:
    text = cell_svg(cell, title=title, dark=dark)
    assert text == cell_svg(cell, title=title, dark=dark)
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    assert float(root.attrib["width"]) > 0
    drawn = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "pill"]
    assert len(drawn) == len(cell.edges)
    hints = texts(root, "title")[1:]
    assert len(hints) == len(cell.edges)
    assert not {element.tag for element in root.iter()} & {f"{SVG}script", f"{SVG}image"}
    assert "href" not in {name for element in root.iter() for name in element.attrib}


@settings(deadline=None, max_examples=60)
@given(cells(PRINTED.filter(lambda op: op != "none" and op_label(op) == op)))
def test_the_texts_of_the_svg_are_the_ops_unescaped(cell: Cell) -> None:
    root = ElementTree.fromstring(cell_svg(cell))
    shown = Counter(texts(root, "text"))
    for op, count in Counter(edge.op for edge in cell.edges).items():
        assert shown[op] >= count
    (words,) = texts(root, "desc")
    assert all(edge.op in words for edge in cell.edges)


def test_an_op_that_is_called_like_an_input_has_no_subscript() -> None:
    root = ElementTree.fromstring(cell_svg(Cell(1, (Edge("c_{k-2}", 0, 2),), (2,))))
    assert sorted(texts(root, "text")) == [
        "2",
        "c_{k-2}",
        "ck",
        "ck-1",
        "ck-2",
        "concat",
        "normal cell",
    ]


def test_the_description_lists_edges_dead_parts_and_the_output_in_words() -> None:
    cell = Cell(3, (Edge("sep_conv_3x3", 0, 2), Edge("skip_connect", 1, 3), Edge("x", 2, 4)), (4,))
    root = ElementTree.fromstring(cell_svg(cell, title="A & B"))
    assert texts(root, "title")[0] == "A & B"
    assert texts(root, "desc") == [
        "node 2 sums sep_conv_3x3 of c_{k-2}; node 3 sums skip_connect of c_{k-1} (dead); "
        "node 4 sums x of 2; the output c_{k} joins nodes 4."
    ]
    (words,) = texts(ElementTree.fromstring(cell_svg(Cell(0, (), ()))), "desc")
    assert words == "the cell passes nothing on."


def test_a_genotype_shows_both_cells_with_headings_inside_the_picture() -> None:
    genotype = Genotype(dense(2), chain(4))
    root = ElementTree.fromstring(architecture_svg(genotype, title="both", dark=True))
    shown = texts(root, "text")
    assert {"both", "normal cell", "reduction cell"} <= set(shown)
    drawn = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "pill"]
    assert len(drawn) == len(genotype.normal.edges) + len(genotype.reduction.edges)
    (words,) = texts(root, "desc")
    assert words.startswith("Normal cell: node 2 sums")
    assert "Reduction cell: node 2 sums sep_conv_3x3 of c_{k-2}" in words
    assert root.find(f"{SVG}rect").attrib["fill"] == DARK.paper  # type: ignore[union-attr]


@settings(deadline=None, max_examples=30)
@given(cells(), cells())
def test_the_cells_of_a_genotype_do_not_overlap(normal: Cell, reduction: Cell) -> None:
    genotype = Genotype(normal, reduction)
    sheet = sheet_of(genotype, "a title that is rather long for a cell")
    boxes = [Box(p.x, p.y, p.layout.width, p.layout.height) for p in sheet.panels]
    assert not overlap(*boxes)
    assert all(within(box, Box(0.0, 0.0, sheet.width, sheet.height)) for box in boxes)
    for label in sheet.headings:
        width = text_width(label.text, label.size)
        text = Box(label.x - width / 2, label.y - label.size / 2, width, label.size)
        assert not any(overlap(text, box) for box in boxes)


def test_the_same_cell_gives_the_same_layout_in_another_process() -> None:
    code = (
        "from snas_tune.space.cell.genotype import *\n"
        "from snas_tune.pictures import architecture_svg\n"
        "edges = tuple(Edge('sep_conv_3x3', s, t) for s, t in cell_edges(4))\n"
        "cell = Cell(4, edges, (2, 3, 4, 5))\n"
        "print(architecture_svg(Genotype(cell, cell)), end='')"
    )
    cell = Cell(4, tuple(Edge("sep_conv_3x3", s, t) for s, t in cell_edges(4)), (2, 3, 4, 5))
    for seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout == architecture_svg(Genotype(cell, cell))


@pytest.mark.parametrize("module", ["pictures.svg", "space.cell.genotype"])
def test_the_svg_needs_no_other_packages(module: str) -> None:
    code = (
        f"import sys, snas_tune.{module}, snas_tune.pictures\n"
        "snas_tune.pictures.architecture_svg\n"
        "print([m for m in ('matplotlib', 'numpy', 'torch', 'ray') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_package_offers_its_names_and_no_others() -> None:
    import snas_tune.pictures as pictures

    assert all(callable(getattr(pictures, name)) for name in pictures.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        pictures.nothing  # noqa: B018


def test_blocks_name_the_inputs_and_the_output() -> None:
    blocks: tuple[Block, ...] = layout(dense(2)).blocks
    names = [block.labels[0].text for block in sorted(blocks, key=lambda block: block.number)]
    assert names == ["c_{k-2}", "c_{k-1}", "2", "3", "c_{k}"]
