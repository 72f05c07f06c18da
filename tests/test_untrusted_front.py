"""A front file that a stranger wrote, or that a disk changed: one line, or the very rows."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import cuts, flips
from front_rows import row

from snas_tune.front import FrontFile, whole
from snas_tune.front.both import read_table
from snas_tune.front.pareto_front import ParetoFront
from snas_tune.front.table import FORMAT_KEY, SCHEMA, rows_to_table

ROWS = [
    row(trial=f"t{i % 7}", epoch=i, child_accuracy=0.5 + i / 1000, latency_ms=0.25 * i)
    for i in range(60)
]
TABLE = rows_to_table(ROWS)
OLD = Path(__file__).parent / "data" / "front_v1.parquet"


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "front.parquet"
    FrontFile(str(path)).add(ROWS)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=r"^(?:front file )?/.*front\.parquet ") as caught:
        ParetoFront.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_flipped_bit_and_every_cut_is_told(path):
    content = path.read_bytes()
    for damaged in [*flips(content, 200), *cuts(content, 20)]:
        path.write_bytes(damaged)
        refused(path)


def test_rows_beside_the_file_are_right_or_told(path):
    file = FrontFile(str(path))
    file.add([])
    for epoch in range(100, 120):
        file.append([row(trial="z", epoch=epoch)])
    beside = path.with_name("front.recent.jsonl")
    content, whole = beside.read_bytes(), ParetoFront.read(path).rows
    told = 0
    for damaged in [*flips(content, 200), *cuts(content, 20)]:
        beside.write_bytes(damaged)
        try:
            rows = ParetoFront.read(path).rows
        except ValueError as error:
            told += str(error).count("front.recent.jsonl is damaged") == 1
        else:
            assert repr(rows) == repr(whole[: len(rows)])
            assert len(rows) >= len(whole) - 20
    assert told > 150


@pytest.mark.slow
def test_every_bit_of_the_footer_is_told(path):
    content = path.read_bytes()
    start = content.index(whole.MARK)
    for place in range(8 * start, 8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        refused(path)


def test_without_the_digest_a_flipped_bit_of_the_footer_gives_other_rows():
    """Why the digest is needed."""
    buffer = io.BytesIO()
    pq.write_table(TABLE, buffer, write_page_checksum=True)
    content = buffer.getvalue()
    size = int.from_bytes(content[-8:-4], "little")
    draws, others = random.Random(0), 0
    for _ in range(600):
        damaged = bytearray(content)
        place = draws.randrange(8 * size)
        damaged[-8 - size + place // 8] ^= 1 << place % 8
        try:
            read = pq.ParquetFile(pa.BufferReader(bytes(damaged)), page_checksum_verification=True)
            others += not read.read().equals(TABLE)
        except (OSError, pa.ArrowException, ValueError):
            pass
    assert others > 0


def test_the_file_is_plain_parquet_for_everybody_else(path):
    assert pq.read_table(path).equals(TABLE)
    assert pq.read_table(path, page_checksum_verification=True).equals(TABLE)
    pandas = pytest.importorskip("pandas")
    assert pandas.read_parquet(path)["epoch"].tolist() == TABLE["epoch"].to_pylist()


def test_a_file_that_another_tool_wrote_again_is_still_read(path):
    pq.write_table(read_table(str(path)).replace_schema_metadata(SCHEMA.metadata), path)
    assert read_table(str(path)).equals(TABLE)
    pq.write_table(read_table(str(OLD)), path)
    again, old = (read_table(str(each)).drop_columns(["latency_ms"]) for each in (path, OLD))
    assert again.equals(old)


def test_a_huge_file_is_refused_before_it_is_read(path):
    with path.open("r+b") as stream:
        stream.truncate(10 << 30)
    assert "it must have at most 2147483648 bytes, got 10737418240" in refused(path)


def test_a_file_that_claims_too_many_rows_is_refused_before_they_are_read(path, monkeypatch):
    monkeypatch.setattr(whole, "MOST_ROWS", 59)
    monkeypatch.setattr(whole, "read_columns", None)
    assert "it must have at most 59 rows, got 60" in refused(path)


def test_a_few_bytes_that_repeat_a_long_text_millions_of_times_are_refused(path):
    count = 3000
    texts = {field.name: "x" for field in SCHEMA if field.type == pa.string()}
    texts["config"] = "x" * 1_000_000
    arrays = {
        field.name: pa.DictionaryArray.from_arrays([0] * count, [texts[field.name]])
        if field.name in texts
        else pa.array([0] * count, field.type)
        for field in SCHEMA
    }
    arrays["epoch"] = pa.array(range(count), pa.int64())
    table = pa.table(arrays)
    with pq.ParquetWriter(path, table.schema, store_schema=False, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(SCHEMA.metadata)
    assert path.stat().st_size < 100_000
    assert "its texts must have at most 2147483648 bytes, got 30" in refused(path)


def changed(name: str, values: list[object]) -> pa.Table:
    place = SCHEMA.get_field_index(name)
    field = SCHEMA.field(name).with_nullable(True)
    column = pa.array([*values, *TABLE[name].to_pylist()[len(values) :]], field.type)
    return TABLE.set_column(place, field, column).replace_schema_metadata(SCHEMA.metadata)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (changed("architecture", [None]), "column architecture must have a value in each row"),
        (changed("flops", [None, None]), "column flops must have a value in each row, lacks 2"),
        (changed("trial", [None]), "column trial must have a value in each row, lacks 1"),
        (changed("trial", ["z"]), "rows must be sorted by trial and epoch"),
        (changed("epoch", [7, 7]), "rows must be sorted by trial and epoch"),
        (changed("architecture", ["[" * 90_000]), "not an architecture in JSON"),
        (changed("architecture", ["x" * 200_000]), "architecture's JSON must have at most 100000"),
        (TABLE.replace_schema_metadata({FORMAT_KEY: b"9" * 5000}), "must be a version"),
        (TABLE.replace_schema_metadata({FORMAT_KEY: "²".encode()}), "must be a version"),
    ],
    ids=range(9),
)
def test_values_that_no_sweep_writes_are_told_at_once(path, table, reason):
    pq.write_table(table, path)
    assert reason in refused(path)


def test_texts_that_are_none_are_told(path):
    broken = pa.Array.from_buffers(
        pa.string(),
        60,
        [None, pa.array(range(61), pa.int32()).buffers()[1], pa.py_buffer(b"\xff" * 60)],
    )
    place = SCHEMA.get_field_index("config")
    pq.write_table(TABLE.set_column(place, SCHEMA.field("config"), broken), path)
    assert "UTF8" in refused(path)


def test_a_pipe_or_a_folder_in_its_place_is_refused(tmp_path):
    path = tmp_path / "front.parquet"
    os.mkfifo(path)
    refused(path)
    path.unlink()
    path.mkdir()
    refused(path)
