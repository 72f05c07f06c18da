"""Rows beside a front file that are not of it: another sweep's, an earlier time's, a stranger's."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from front_rows import row

from snas_tune.front import FrontFile, file, read_table
from snas_tune.front.recent import Recent, _encoded, recent_path


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [0.0]
    monkeypatch.setattr(file, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def made(folder: Path, trial: str = "t1") -> tuple[FrontFile, Path]:
    """A front file of one row, one row beside it, and the path of that."""
    folder.mkdir()
    front = FrontFile(str(folder / "front.parquet"))
    for epoch in (1, 2):
        front.append([row(trial, epoch)])
    return front, Path(recent_path(str(folder / "front.parquet")))


def keys(folder: Path) -> list[tuple[str, int]]:
    table = read_table(str(folder / "front.parquet"))
    return list(zip(table["trial"].to_pylist(), table["epoch"].to_pylist(), strict=True))


def test_rows_of_another_sweep_are_ignored_and_put_aside_each_with_a_line(tmp_path, capsys):
    _, beside = made(tmp_path / "a")
    _, other = made(tmp_path / "b", "t2")
    content = other.read_bytes()
    beside.write_bytes(content)
    for _ in range(2):
        assert keys(tmp_path / "a") == [("t1", 1)]
    said = f"{beside} is ignored: its rows follow another front file\n"
    assert capsys.readouterr().err == said
    front = FrontFile(str(tmp_path / "a" / "front.parquet"))
    front._next = math.inf
    front.append([row(epoch=3)])
    aside = beside.with_name("front.recent.jsonl.1.other")
    said = f"{beside} follows another front file: it is now {aside}\n"
    assert capsys.readouterr().err == said
    assert aside.read_bytes() == content
    assert keys(tmp_path / "a") == [("t1", 1), ("t1", 3)]
    beside.write_bytes(content)
    FrontFile(str(tmp_path / "a" / "front.parquet")).settle()
    assert beside.with_name("front.recent.jsonl.2.other").exists()
    assert not beside.exists()


def test_an_older_copy_of_the_rows_does_not_win(tmp_path, clock):
    front, beside = made(tmp_path / "a")
    older = beside.read_bytes()
    clock[0] += 100
    front.append([row(epoch=2, checkpoint="t1/checkpoint_2")])
    beside.write_bytes(older)
    found = read_table(str(tmp_path / "a" / "front.parquet"))["checkpoint"].to_pylist()
    assert found == [None, "t1/checkpoint_2"]


def test_rows_without_their_front_file_are_not_taken(tmp_path):
    _, beside = made(tmp_path / "a")
    (tmp_path / "a" / "front.parquet").unlink()
    assert len(FrontFile(str(tmp_path / "a" / "front.parquet")).table) == 0
    assert beside.exists()


@pytest.mark.parametrize("landed", [True, False])
def test_rows_after_a_replacement_that_failed_count_whether_it_came_to_be(
    landed, tmp_path, clock, monkeypatch
):
    front, _ = made(tmp_path / "a")
    whole = file.replace_file

    def fails(*args):
        if landed:
            whole(*args)
        raise OSError("away")

    clock[0] += 100
    with monkeypatch.context() as patch:
        patch.setattr(file, "replace_file", fails)
        with pytest.raises(OSError, match="away"):
            front.append([row(epoch=3)])
    front._next = math.inf
    front.append([row(epoch=4)])
    assert keys(tmp_path / "a") == [("t1", epoch) for epoch in (1, 2, 3, 4)]
    FrontFile(str(tmp_path / "a" / "front.parquet")).settle()
    assert len(pq.read_table(tmp_path / "a" / "front.parquet")) == 4


def test_a_removal_that_fails_leaves_rows_that_count(tmp_path, clock, monkeypatch):
    front, _ = made(tmp_path / "a")

    def fails(_):
        raise OSError("away")

    clock[0] += 100
    with monkeypatch.context() as patch:
        patch.setattr(Recent, "clear", fails)
        with pytest.raises(OSError, match="away"):
            front.append([row(epoch=3)])
    front._next = math.inf
    front.append([row(epoch=4)])
    assert keys(tmp_path / "a") == [("t1", epoch) for epoch in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch": -3}, "epoch must be 0 or more, got -3"),
        ({"flops": -5}, "flops must be 0 or more, got -5"),
        ({"accuracy": math.inf}, "accuracy must be from 0 to 1, got inf"),
        ({"child_accuracy": -0.5}, "child_accuracy must be from 0 to 1, got -0.5"),
        ({"architecture": "garbage"}, ""),
    ],
)
def test_values_that_no_search_reports_are_one_line(changes, said, tmp_path):
    _, beside = made(tmp_path / "a")
    beside.write_bytes(beside.read_bytes() + _encoded(row(**changes)))
    for read in (read_table, FrontFile):
        with pytest.raises(ValueError, match=f"cannot be read: .*{said}") as caught:
            read(str(tmp_path / "a" / "front.parquet"))
        assert "\n" not in str(caught.value)


def test_the_first_line_names_the_front_file(tmp_path):
    _, beside = made(tmp_path / "a")
    head = beside.read_bytes().split(b"\n")[0]
    checksum, _, text = head.partition(b" ")
    assert int(checksum, 16) == zlib.crc32(text)
    assert text.startswith(b'{"follows":["')
