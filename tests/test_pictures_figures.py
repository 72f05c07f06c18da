"""Architectures as figures, and figures as files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from charts import diverged, main_axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import FancyBboxPatch

from snas_tune.pictures import (
    architecture_figure,
    figure_to_array,
    front_figure,
    save,
)
from snas_tune.pictures.sheets import sheet_of
from snas_tune.pictures.style import PILL_TEXT
from snas_tune.space.cell.genotype import Cell, Edge, Genotype, cell_edges

DENSE = Cell(
    4,
    tuple(Edge(("sep_conv_3x3", "a$b_c$", "skip_connect")[t % 3], s, t) for s, t in cell_edges(4)),
    (2, 3, 4, 5),
)

EMPTY = Cell(2, (), (2, 3))

PNG = b"\x89PNG\r\n\x1a\n"


def test_an_architecture_figure_shows_each_op_as_text_without_reading_formulas() -> None:
    figure = architecture_figure(Genotype(DENSE, EMPTY), "$title_ &")
    shown = [text.get_text() for text in main_axes(figure).texts]
    ops = [edge.op for edge in DENSE.edges]
    assert shown.count("a$b_c$") == ops.count("a$b_c$")
    assert shown.count("sep 3x3") == ops.count("sep_conv_3x3")
    assert {"$title_ &", "normal cell", "reduction cell"} <= set(shown)
    boxes = [p for p in main_axes(figure).patches if isinstance(p, FancyBboxPatch)]
    assert len(boxes) == len(DENSE.edges) + 7 + 3
    assert figure_to_array(figure).std() > 0


def test_an_op_that_is_called_like_an_input_is_no_formula() -> None:
    cell = Cell(1, (Edge("c_{k}", 0, 2),), (2,))
    axes = main_axes(architecture_figure(Genotype(cell, EMPTY)))
    formulas = {text.get_text() for text in axes.texts if text.get_parse_math()}
    assert formulas == {"$c_{k-2}$", "$c_{k-1}$", "$c_{k}$"}
    assert "c_{k}" in [text.get_text() for text in axes.texts]


def test_an_architecture_figure_has_the_size_of_the_layout() -> None:
    figure = architecture_figure(Genotype(DENSE, EMPTY))
    sheet = sheet_of(Genotype(DENSE, EMPTY))
    assert tuple(figure.get_size_inches() * 96.0) == pytest.approx((sheet.width, sheet.height))
    sizes = {text.get_text(): text.get_fontsize() for text in main_axes(figure).texts}
    assert sizes["sep 3x3"] == pytest.approx(PILL_TEXT * 72.0 / 96.0)  # points of CSS pixels


def test_dead_parts_are_dashed() -> None:
    cell = Cell(2, (Edge("skip_connect", 0, 2), Edge("skip_connect", 1, 3)), (3,))
    figure = architecture_figure(Genotype(cell, EMPTY))
    styles = [p.get_linestyle() for p in main_axes(figure).patches if isinstance(p, FancyBboxPatch)]
    assert styles.count("dashed") == 2 + 1  # node 2 and its pill, the output of the empty cell


def test_texts_of_an_architecture_figure_fit_their_boxes() -> None:
    figure = architecture_figure(Genotype(DENSE, DENSE))
    figure.draw_without_rendering()
    axes = main_axes(figure)
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    for text in axes.texts:
        if text.get_text().endswith(" cell"):
            continue
        extent = text.get_window_extent()
        assert any(
            box.x0 <= extent.x0
            and extent.x1 <= box.x1
            and box.y0 <= extent.y0 <= extent.y1 <= box.y1
            for box in boxes
        ), text.get_text()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_the_same_figure_is_saved_as_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    files = [tmp_path / "new" / f"{name}{suffix}" for name in "ab"]
    for path in files:
        assert save(front_figure(diverged(2)), path) == path
    first, second = (path.read_bytes() for path in files)
    assert first == second
    assert b"CreationDate" not in first  # its seconds may be equal by chance
    assert sorted(path.name for path in files[0].parent.iterdir()) == [p.name for p in files]


def test_bytes_are_equal_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys; from snas_tune.pictures import front_figure, save\n"
        "save(front_figure([{'flops': 1e6, 'child_accuracy': 0.5}]), sys.argv[1])"
    )
    contents = []
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.svg"
        subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_a_picture_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "front.png"
    path.write_bytes(b"old")

    class Broken(Figure):
        def savefig(self, fname: Any, **options: Any) -> None:  # type: ignore[override]
            Path(fname).write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save(Broken(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    save(front_figure([]), path)
    assert path.read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [path]


def test_save_refuses_an_unknown_suffix(tmp_path: Path) -> None:
    for name in ("front.jpeg", "front"):
        with pytest.raises(ValueError, match=rf"must end in one of .png, .svg, .pdf, got .*{name}"):
            save(front_figure([]), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_array_holds_the_pixels_of_the_saved_file(tmp_path: Path) -> None:
    figure = architecture_figure(Genotype(DENSE, EMPTY))
    pixels = figure_to_array(figure)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    read = imread(save(figure, tmp_path / "cell.png"))
    assert np.array_equal(np.rint(read[..., :3] * 255).astype(np.uint8), pixels)


def test_figures_are_nothing_global() -> None:
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from snas_tune.pictures import front_figure, figure_to_array\n"
        "figure_to_array(front_figure([]))\n"
        "print('matplotlib.pyplot' in sys.modules, matplotlib.rcParams.copy() == before)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "True"]
