"""The picture of an architecture that has none of its own: a table of its choices."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pytest
from drawings import SVG, overlap, texts, within
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import FancyBboxPatch
from strategies import any_genotypes, picks
from test_architecture import Depth

from snas_tune.architecture import Picks
from snas_tune.pictures import architecture_figure, architecture_svg
from snas_tune.pictures.option_table import EMPTY, option_table
from snas_tune.pictures.shapes import Box, Layout, Sheet
from snas_tune.pictures.sheets import SCREEN, Drawn, arranged, best_fit, both_ways, sheet_of
from snas_tune.pictures.style import text_width
from snas_tune.space.cell.genotype import Genotype

MOBILE = Picks("mobile", {f"block {i}": ("skip", "mb3", "mb6")[i % 3] for i in range(20)})


@settings(deadline=None, max_examples=60)
@given(st.one_of(picks(), any_genotypes), st.text(max_size=20), st.booleans())
def test_the_picture_of_any_architecture_is_valid_and_always_the_same(
    architecture: Any, title: str, dark: bool
) -> None:
    for part in ("", *architecture.parts()):
        text = architecture_svg(architecture, title=title, part=part, dark=dark)
        assert text == architecture_svg(architecture, title=title, part=part, dark=dark)
        root = ElementTree.fromstring(text)
        shown = {part: architecture.parts()[part]} if part else architecture.parts()
        drawn = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "pill"]
        assert len(drawn) == sum(map(len, shown.values()))
        assert len(texts(root, "title")) == 1 + len(drawn)


@settings(deadline=None, max_examples=60)
@given(picks(), st.integers(1, 5))
def test_every_choice_has_a_row_with_its_name_beside_its_option(
    architecture: Picks, columns: int
) -> None:
    drawn = option_table(architecture.picks, columns)
    whole = Box(0.0, 0.0, drawn.width, drawn.height)
    hints = [pill.hint for block in drawn.blocks for pill in block.pills]
    assert hints == [f"{name}: {option}" for name, option in architecture.picks]
    for one, other in itertools.combinations(drawn.blocks, 2):
        assert not overlap(one.box, other.box)
    for block in drawn.blocks:
        (pill,), (name,) = block.pills, block.labels
        assert within(block.box, whole)
        assert within(pill.box, block.box)
        width = text_width(name.text, name.size)
        assert within(Box(name.x, name.y - name.size / 2, width, name.size), block.box)
        assert name.x + width <= pill.box.x
        width = text_width(pill.label.text, pill.label.size)
        x, y = pill.label.x, pill.label.y
        assert within(Box(x - width / 2, y - pill.label.size / 2, width, pill.label.size), pill.box)
    assert len({block.box.x for block in drawn.blocks}) <= columns


def test_rows_come_in_the_order_of_the_choices_column_after_column() -> None:
    drawn = option_table(MOBILE.picks, 3)
    order = sorted(drawn.blocks, key=lambda block: (block.box.x, block.box.y))
    assert [block.labels[0].text for block in order] == [name for name, _ in MOBILE.picks]


def test_the_same_option_has_the_same_colour_and_others_another() -> None:
    drawn = option_table(MOBILE.picks, 1)
    colours = {}
    for block in drawn.blocks:
        (pill,) = block.pills
        assert colours.setdefault(pill.label.text, pill.colour) == pill.colour
    assert len(set(colours.values())) == 3


def test_a_long_text_is_cut_and_the_hint_has_all_of_it() -> None:
    (block,) = option_table([("n" * 90, "o" * 90)], 1).blocks
    assert block.labels[0].text == "n" * 41 + "..."
    assert block.pills[0].hint == f"{'n' * 90}: {'o' * 90}"
    assert option_table([("n" * 90, "o" * 90)], 1).width < SCREEN[0]


def test_without_choices_the_picture_says_so() -> None:
    root = ElementTree.fromstring(architecture_svg(Picks("toy", ())))
    assert texts(root, "text") == [EMPTY]


def test_many_choices_stand_in_columns_that_fit_a_screen() -> None:
    for count in (1, 5, 20, 60):
        sheet = sheet_of(Picks("toy", {f"choice {i}": "an option" for i in range(count)}), "title")
        assert sheet.width <= SCREEN[0]
        assert sheet.height <= SCREEN[1]
        (panel,) = sheet.panels
        assert (len({block.box.x for block in panel.layout.blocks}) == 1) == (count < 19)


@dataclass(frozen=True, slots=True)
class TwoParts(Depth):
    """Without a picture of its own, as every class that does not say ``sheet``."""

    def parts(self) -> Any:
        return {"stem": [("width", "8")], "body": [("layers", str(self.layers)), ("op", "conv")]}


def test_an_architecture_of_several_parts_has_a_table_for_each() -> None:
    root = ElementTree.fromstring(architecture_svg(TwoParts(3)))
    assert Counter(texts(root, "text")) == Counter(
        ["stem", "body", "width", "8", "layers", "3", "op", "conv"]
    )
    root = ElementTree.fromstring(architecture_svg(TwoParts(3), part="body", title="a title"))
    assert Counter(texts(root, "text")) == Counter(["a title", "body", "layers", "3", "op", "conv"])
    assert texts(root, "desc") == ["Body: layers is 3, op is conv."]
    with pytest.raises(ValueError, match=r"^part must be one of stem, body, got 'head'$"):
        sheet_of(TwoParts(3), part="head")


def test_an_architecture_that_draws_itself_is_asked_for_its_sheet() -> None:
    @dataclass(frozen=True, slots=True)
    class Own(TwoParts):
        def sheet(self, title: str = "", part: str = "") -> Sheet:
            return Sheet(len(title), len(part), (), ())

    assert isinstance(Own(1), Drawn)
    assert sheet_of(Own(1), "title", "stem") == Sheet(5, 4, (), ())
    with pytest.raises(ValueError, match="part must be one of stem, body, got 'head'"):
        sheet_of(Own(1), part="head")


def test_of_two_arrangements_the_one_that_fits_better_is_taken() -> None:
    wide, tall = Layout(1200.0, 100.0, (), (), ()), Layout(100.0, 700.0, (), (), ())
    for part, beside in ((wide, False), (tall, True)):
        parts = [("one", part), ("two", part)]
        assert best_fit(both_ways("", parts)) == arranged("", parts, beside)


def test_a_figure_shows_the_rows_of_the_svg() -> None:
    figure = architecture_figure(MOBILE, "$title_ &")
    (axes,) = figure.axes
    figure.draw_without_rendering()
    shown = Counter(text.get_text() for text in axes.texts)
    root = ElementTree.fromstring(architecture_svg(MOBILE, title="$title_ &"))
    assert shown == Counter(texts(root, "text"))
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    assert len(boxes) == 2 * len(MOBILE.picks)
    for text in axes.texts[1:]:
        extent = text.get_window_extent()
        assert any(box.x0 <= extent.x0 and extent.x1 <= box.x1 for box in boxes), text.get_text()


def test_cells_are_drawn_by_their_own_space() -> None:
    assert issubclass(Genotype, Drawn)
    assert not issubclass(Picks, Drawn)
