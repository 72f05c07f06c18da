"""Cells as SVG: labels, colours, words, and the same bytes everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from xml.etree import ElementTree

import pytest
from drawings import (
    PRINTED,
    SVG,
    cell_svg,
    cells,
    chain,
    dense,
    overlap,
    texts,
    within,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.pictures.shapes import Block, Box
from snas_tune.pictures.sheets import sheet_of
from snas_tune.pictures.style import DARK, LIGHT, PILL_COLOURS, PILL_INK, text_width
from snas_tune.pictures.svg import architecture_svg
from snas_tune.space.cell.drawing.layout import layout
from snas_tune.space.cell.drawing.ops import FAMILY_COLOURS, op_family, op_label
from snas_tune.space.cell.genotype import Cell, Edge, Genotype, cell_edges


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
