"""The front file: its schema, upserts, storage, and that a killed writer leaves it whole."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from front_rows import GENOTYPE, OLD, row, same
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.front import SCHEMA, FrontFile, read_table
from snas_tune.front.table import FORMAT_KEY, check_columns, rows_to_table
from snas_tune.space.cell.genotype import Genotype


def test_rows_come_back_as_they_were_added(tmp_path):
    path = str(tmp_path / "front.parquet")
    rows = [row(), row("t1", 2, checkpoint="t1/checkpoint_000002", child_accuracy=math.nan)]
    FrontFile(path).add(rows)
    table = FrontFile(path).read()
    assert same(table.to_pylist(), rows)
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table.schema.metadata == {FORMAT_KEY: b"2"}


def test_the_file_on_disk_names_its_format_and_its_nullable_columns(tmp_path):
    path = str(tmp_path / "front.parquet")
    FrontFile(path).add([row()])
    stored = pq.read_schema(path)
    assert stored.metadata[b"snas_tune.format"] == b"2"
    assert [field.name for field in stored if field.nullable] == ["checkpoint"]


def test_a_file_that_is_not_there_reads_as_an_empty_table_and_is_not_made(tmp_path):
    front = FrontFile(str(tmp_path / "sweep" / "front.parquet"))
    assert front.read().num_rows == 0
    assert front.read().schema.equals(SCHEMA, check_metadata=True)
    assert list(tmp_path.iterdir()) == []


def test_a_later_row_of_the_same_trial_and_epoch_replaces_the_earlier(tmp_path):
    front = FrontFile(str(tmp_path / "front.parquet"))
    front.add([row(epoch=1), row(epoch=2), row(epoch=2, seed=4)])
    front.add([row(epoch=1, checkpoint="a"), row(epoch=1, checkpoint="b")])
    expected = [row(epoch=1, checkpoint="b"), row(epoch=2, seed=4)]
    assert same(front.read().to_pylist(), expected)


def test_a_resumed_writer_keeps_what_was_there(tmp_path):
    path = str(tmp_path / "front.parquet")
    FrontFile(path).add([row("a", 1), row("b", 1)])
    FrontFile(path).add([row("b", 1, seed=9), row("a", 2)])
    expected = [row("a", 1), row("a", 2), row("b", 1, seed=9)]
    assert same(FrontFile(path).read().to_pylist(), expected)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "é", "B10"]), st.integers(0, 12)), unique=True),
    st.data(),
)
def test_the_bytes_of_the_file_do_not_depend_on_the_order_of_arrival(tmp_path_factory, keys, data):
    folder = tmp_path_factory.mktemp("order")
    rows = [row(trial, epoch, flops=epoch * len(trial)) for trial, epoch in keys]
    FrontFile(str(folder / "once")).add(rows)
    front = FrontFile(str(folder / "bit by bit"))
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    for batch in (shuffled[:cut], [], shuffled[cut:], shuffled[:1]):
        front.add(batch)
    assert (folder / "once").read_bytes() == (folder / "bit by bit").read_bytes()
    assert [(r["trial"], r["epoch"]) for r in front.read().to_pylist()] == sorted(keys)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(0, 99))))
def test_adding_is_a_dictionary_keyed_by_trial_and_epoch(tmp_path_factory, adds):
    front = FrontFile(str(tmp_path_factory.mktemp("dict") / "front.parquet"))
    expected = {}
    for start in range(0, len(adds), 3):
        batch = adds[start : start + 3]
        front.add(row(trial, epoch, seed=seed) for trial, epoch, seed in batch)
        expected.update({(trial, epoch): seed for trial, epoch, seed in batch})
    table = front.read()
    found = zip(*(table[name].to_pylist() for name in ("trial", "epoch", "seed")), strict=True)
    assert list(found) == [(*key, seed) for key, seed in sorted(expected.items())]


def test_numbers_of_numpy_and_whole_numbers_in_float_columns_are_taken():
    table = rows_to_table([row(epoch=np.int64(4), flops=np.int32(7), entropy=np.float32(0.5))])
    table = rows_to_table([*table.to_pylist(), row(epoch=5, latency_ms=3)])
    assert table["flops"].to_pylist() == [7, 1_000_000]
    assert table["entropy"].to_pylist() == [0.5, 0.9]
    assert table["latency_ms"].to_pylist()[1] == 3.0


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("flops", 1.5, "int64"),
        ("flops", "7", "int64"),
        ("flops", True, "int64"),
        ("flops", 2**63, "int64"),
        ("epoch", None, "int64"),
        ("child_accuracy", "0.5", "double"),
        ("child_accuracy", None, "double"),
        ("child_accuracy", False, "double"),
        ("trial", 3, "string"),
        ("architecture", None, "string"),
        ("checkpoint", 3, "string"),
    ],
)
def test_a_value_of_another_type_is_refused_and_the_file_stays(tmp_path, column, value, kind):
    path = tmp_path / "front.parquet"
    front = FrontFile(str(path))
    front.add([row()])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"^front column {column} must be {kind}, got ") as caught:
        front.add([row(epoch=2), {**row(epoch=3), column: value}])
    assert str(caught.value).endswith(f"got {value!r}")
    assert path.read_bytes() == before
    front.add([row(epoch=4)])
    assert front.read()["epoch"].to_pylist() == [1, 4]


def test_missing_and_unknown_columns_are_named(tmp_path):
    front = FrontFile(str(tmp_path / "front.parquet"))
    for name in SCHEMA.names:
        short = row()
        del short[name]
        with pytest.raises(ValueError, match=f"^front row must have column {name}, got none$"):
            front.add([short])
    with pytest.raises(ValueError, match=r"^front row has unknown column seconds$"):
        front.add([row(seconds=1.0)])


def test_no_column_holds_a_wall_clock():
    assert not [name for name in SCHEMA.names if "time" in name or "second" in name]


def test_a_newer_format_is_refused_before_its_columns_are_looked_at(tmp_path):
    path = str(tmp_path / "front.parquet")
    newer = pa.table({"other": [1]}).replace_schema_metadata({FORMAT_KEY: b"3"})
    pq.write_table(newer, path)
    for read in (FrontFile, read_table):
        with pytest.raises(
            ValueError, match=r"^front file .*front.parquet has format 3; this snas_tune reads up"
        ) as caught:
            read(path)
        assert str(caught.value) == (
            f"front file {path} has format 3; this snas_tune reads up to 2"
        )


def write_parquet(table):
    return lambda path: pq.write_table(table, path)


GOOD = rows_to_table([row()])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_parquet(pa.table({"a": [1]})), "its metadata has no snas_tune.format"),
        (write_parquet(GOOD.replace_schema_metadata({FORMAT_KEY: b"x"})), "must be a version"),
        (write_parquet(GOOD.replace_schema_metadata({FORMAT_KEY: b"0"})), "must be a version"),
        (write_parquet(GOOD.drop_columns(["seed"])), "column seed must be there, got none"),
        (
            write_parquet(GOOD.drop_columns(["seed"]).append_column("seed", pa.array(["3"]))),
            "column seed must be int64, got string",
        ),
        (
            write_parquet(GOOD.append_column("more", pa.array([1]))),
            "column more is none of the front's columns",
        ),
        (lambda path: Path(path).write_bytes(b""), ""),
        (lambda path: Path(path).write_bytes(b"trial,epoch\n" * 9), "Parquet magic bytes"),
        (lambda path: Path(path).write_bytes(b"PAR1" + b"\xff" * 60 + b"PAR1"), ""),
    ],
)
def test_what_is_not_a_front_file_is_refused_and_named(tmp_path, write, reason):
    path = str(tmp_path / "front.parquet")
    write(path)
    before = Path(path).read_bytes()
    with pytest.raises(ValueError, match=f"^{path} is not a front file: .*{reason}") as caught:
        FrontFile(path)
    assert "\n" not in str(caught.value)
    assert Path(path).read_bytes() == before


def test_a_truncated_front_file_is_refused(tmp_path):
    path = tmp_path / "front.parquet"
    FrontFile(str(path)).add([row()])
    whole = path.read_bytes()
    for length in range(0, len(whole), 997):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is not a front file: "):
            read_table(str(path))


def test_reading_what_is_not_a_file_names_the_path(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match=f"^front file {path} must be a file, got none there$"):
            read_table(str(path))
    with pytest.raises(ValueError, match=r"must be a file, got none there$"):
        FrontFile(str(tmp_path))


def test_columns_may_come_in_another_order(tmp_path):
    path = str(tmp_path / "front.parquet")
    pq.write_table(GOOD.select(SCHEMA.names[::-1]).replace_schema_metadata({FORMAT_KEY: "2"}), path)
    assert same(read_table(path).to_pylist(), GOOD.to_pylist())
    check_columns(read_table(path).schema)


def test_the_committed_file_of_format_one_stays_readable():
    table = read_table(str(OLD))
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table["trial"].to_pylist() == ["00000", "00000", "00001", "00002"]
    assert table["epoch"].to_pylist() == [1, 2, 2, 2]
    assert table["flops"].to_pylist() == [9_400_000, 7_200_000, 2_600_000, 650_000]
    assert table["child_accuracy"].to_pylist() == [0.8125, 0.9375, 0.875, 0.5]
    assert table["checkpoint"].to_pylist() == [None, "00000/checkpoint_000001", None, None]
    assert [math.isnan(x) for x in table["latency_ms"].to_pylist()] == [False, False, True, True]
    assert table["temperature_schedule"].to_pylist()[2:] == ["exponential", "constant"]
    ops = [Genotype.from_json(text).ops() for text in table["architecture"].to_pylist()]
    assert ops[3] == {"skip_connect"}
    assert "sep_conv_3x3" in ops[0]
    assert [json.loads(text)["seed"] for text in table["config"].to_pylist()] == [7, 7, 7, 7]


def test_rows_of_format_one_are_those_that_this_format_would_hold(tmp_path):
    stored = pq.read_table(str(OLD)).to_pylist()
    expected = [
        {
            "architecture" if name == "genotype" else name: '{"space":"cell",' + value[1:]
            if name == "genotype"
            else value
            for name, value in each.items()
        }
        for each in stored
    ]
    assert same(read_table(str(OLD)).to_pylist(), expected)
    FrontFile(str(tmp_path / "new")).add(expected)
    assert same(read_table(str(tmp_path / "new")).to_pylist(), expected)


def test_a_sweep_of_format_one_goes_on_as_the_format_of_today(tmp_path):
    shutil.copy(OLD, tmp_path / "old")
    old = read_table(str(OLD)).to_pylist()
    more = [row("00001", 3), {**old[0], "checkpoint": "a"}]
    FrontFile(str(tmp_path / "old")).add(more)
    FrontFile(str(tmp_path / "new")).add([*old, *more])
    assert (tmp_path / "old").read_bytes() == (tmp_path / "new").read_bytes()
    assert pq.read_schema(tmp_path / "old").metadata[FORMAT_KEY] == b"2"


def as_format_1(genotype):
    old = GOOD.to_pylist()[0] | {"genotype": genotype}
    del old["architecture"]
    schema = pa.schema([f.with_name("genotype") if f.name == "architecture" else f for f in SCHEMA])
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    return pa.Table.from_pylist([old], schema=nullable.with_metadata({FORMAT_KEY: b"1"}))


@pytest.mark.parametrize(
    ("genotype", "reason"),
    [
        (GENOTYPE.replace('"format":1', '"format":9'), "format of the architecture must be 1"),
        (GENOTYPE[:-9], "not an architecture in JSON"),
        (None, "column architecture must have a value in each row, lacks 1$"),
    ],
)
def test_a_genotype_of_format_one_that_cannot_be_read_is_told_at_once(tmp_path, genotype, reason):
    path = str(tmp_path / "front.parquet")
    pq.write_table(as_format_1(genotype), path)
    with pytest.raises(ValueError, match=f"^{path} is not a front file: {reason}"):
        read_table(path)


@pytest.mark.parametrize(("version", "column"), [(b"1", "genotype"), (b"2", "architecture")])
def test_a_file_has_the_columns_of_its_own_format(tmp_path, version, column):
    path = str(tmp_path / "front.parquet")
    other = {"genotype": "architecture", "architecture": "genotype"}[column]
    names = [other if name == "architecture" else name for name in SCHEMA.names]
    pq.write_table(GOOD.rename_columns(names).replace_schema_metadata({FORMAT_KEY: version}), path)
    with pytest.raises(ValueError, match=f"column {column} must be there, got none"):
        read_table(path)
