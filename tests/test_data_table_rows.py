"""Rows and columns of tables that are not as they should be: one line that names the table."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from image_trees import first_pixels, refusal, tree_of, write_folder

from snas_tune.data import load

NAMES = ("a0.png", "a1.png", "b0.png", "b1.png")


def table(folder: Path, text: str) -> Path:
    write_folder(folder, tree_of(*NAMES))
    (folder / "x.csv").write_text(text, encoding="utf-8")
    return folder / "x.csv"


def rows(*labels: str, top: str = "path,label") -> str:
    return "\n".join([top, *(f"{name},{one}" for name, one in zip(NAMES, labels, strict=True))])


def test_a_class_whose_images_are_all_missing_is_not_left_out(tmp_path: Path) -> None:
    path = table(tmp_path, rows(*"xxyy") + "\nmissing.png,z\n")
    line = "each class must have at least one readable image, got none of z in "
    assert refusal(path, bad_images="skip", image_size=8) == f"{line}{path}"
    path = table(tmp_path, rows(*"xxyy") + "\nmissing.png,y\n")
    assert first_pixels(load(str(path), root=".", bad_images="skip")) == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("top", "name"),
    [
        ("path,label,label", "label"),
        ("path,label,Label", "label"),
        ("path,path,label", "path"),
        ("file name,file_name,label", "file_name"),
        ("path,label,split,split", "split"),
    ],
)
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, top: str, name: str) -> None:
    path = table(tmp_path, f"{top}\na0.png,x\nb0.png,y\n")
    assert refusal(path) == f"a table must have one column {name}, got 2 in {path}"


def test_a_column_of_parquet_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table(tmp_path, "")
    columns = [pa.array(NAMES), pa.array(list("xxyy")), pa.array(list("xyxy"))]
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table(columns, names=["path", "label", "label"]), path)
    assert refusal(path) == f"a table must have one column label, got 2 in {path}"
    parquet.write_table(pa.table([*columns, columns[0]], names=["path", "label", "b", "b"]), path)
    assert load(str(path), root=".").classes == ("x", "y")


@pytest.mark.parametrize("letter", ["7", "x"])
def test_a_label_of_thousands_of_characters_is_refused(tmp_path: Path, letter: str) -> None:
    path = table(tmp_path, rows("1", "2", "1", letter * 5000))
    line = "a label must have at most 1000 characters, got 5,000 in "
    assert refusal(path) == f"{line}{path}"


@pytest.mark.parametrize("label", ["²", "9" * 5000, "3"])
def test_a_label_that_is_no_number_of_a_class_is_refused(tmp_path: Path, label: str) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table(tmp_path, "")
    listed = b'{"info": {"features": {"label": {"names": ["cat", "dog"]}}}}'
    labels = pa.array(["0", "1", "0", label])
    own = pa.table({"path": pa.array(NAMES), "label": labels})
    path = tmp_path / "x.parquet"
    parquet.write_table(own.replace_schema_metadata({b"huggingface": listed}), path)
    assert refusal(path) == f"labels must be from 0 to 1, got {label[:100]} in {path}"


def test_two_spellings_of_one_label_are_one_class(tmp_path: Path) -> None:
    both = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    data = load(str(table(tmp_path, rows(*both, "x", "x"))), root=".")
    assert data.classes == (both[0], "x")
    assert data.labels.tolist() == [0, 0, 1, 1]
