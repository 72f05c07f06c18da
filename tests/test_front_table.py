"""The front file: its schema, upserts, storage, and that a killed writer leaves it whole."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from snas_tune.front import SCHEMA, FrontFile, check_writable, read_table
from snas_tune.front.storage import join
from snas_tune.front.table import FORMAT_KEY, check_columns, rows_to_table
from snas_tune.space.cell.genotype import Cell, Edge, Genotype

OLD = Path(__file__).parent / "data" / "front_v1.parquet"

GENOTYPE = Genotype(Cell(1, (Edge("skip_connect", 0, 2),), (2,)), Cell(1, (), ())).to_json()


def row(trial="t1", epoch=1, **changes):
    """A valid row of the front file."""
    values = {
        "trial": trial,
        "epoch": epoch,
        "step": 10 * epoch,
        "child_accuracy": 0.75,
        "accuracy": 0.5,
        "flops": 1_000_000,
        "params": 2_000,
        "params_with_dead": 2_100,
        "memory": 30_000,
        "latency_ms": math.nan,
        "expected_flops": 1.5e6,
        "entropy": 0.9,
        "temperature": 0.4,
        "cross_entropy": 1.25,
        "penalty_strength": 0.01,
        "temperature_schedule": "linear",
        "temperature_start": 1.0,
        "temperature_end": 0.03,
        "seed": 3,
        "architecture": GENOTYPE,
        "config": json.dumps({"seed": 3}),
        "checkpoint": None,
    }
    return {**values, **changes}


def same(rows, others):
    """Equality in which NaN equals itself."""
    return repr(list(rows)) == repr(list(others))


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


def test_a_genotype_of_format_one_that_cannot_be_read_stays_as_it_is(tmp_path):
    path = str(tmp_path / "front.parquet")
    newer = GENOTYPE.replace('"format":1', '"format":9')
    old = GOOD.to_pylist()[0] | {"genotype": newer}
    del old["architecture"]
    schema = pa.schema([f.with_name("genotype") if f.name == "architecture" else f for f in SCHEMA])
    table = pa.Table.from_pylist([old], schema=schema.with_metadata({FORMAT_KEY: b"1"}))
    pq.write_table(table, path)
    assert read_table(path)["architecture"].to_pylist() == [newer]


@pytest.mark.parametrize(("version", "column"), [(b"1", "genotype"), (b"2", "architecture")])
def test_a_file_has_the_columns_of_its_own_format(tmp_path, version, column):
    path = str(tmp_path / "front.parquet")
    other = {"genotype": "architecture", "architecture": "genotype"}[column]
    names = [other if name == "architecture" else name for name in SCHEMA.names]
    pq.write_table(GOOD.rename_columns(names).replace_schema_metadata({FORMAT_KEY: version}), path)
    with pytest.raises(ValueError, match=f"column {column} must be there, got none"):
        read_table(path)


# Storage


def test_a_file_uri_and_a_path_are_the_same_file(tmp_path):
    FrontFile(f"file://{tmp_path}/new/front.parquet").add([row()])
    assert read_table(str(tmp_path / "new" / "front.parquet")).num_rows == 1
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["front.parquet"]


def test_a_relative_path_is_taken_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FrontFile("sweep/front.parquet").add([row()])
    assert (tmp_path / "sweep" / "front.parquet").is_file()


def test_other_file_systems_are_written_directly():
    store, _ = fs.FileSystem.from_uri("mock:///")
    front = FrontFile("bucket/sweep/front.parquet", store)
    front.add([row()])
    front.add([row(epoch=2)])
    assert FrontFile("bucket/sweep/front.parquet", store).read().num_rows == 2
    files = store.get_file_info(fs.FileSelector("bucket", recursive=True))
    assert [info.base_name for info in files if info.is_file] == ["front.parquet"]


def test_a_subtree_of_the_local_file_system_is_written_as_a_local_one(tmp_path):
    (tmp_path / ".front.part.parquet").write_bytes(b"what a killed writer left behind")
    subtree = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    FrontFile("front.parquet", subtree).add([row()])
    assert read_table(str(tmp_path / "front.parquet")).num_rows == 1
    assert [p.name for p in tmp_path.iterdir()] == ["front.parquet"]


def test_a_reader_that_has_the_old_file_open_still_sees_all_of_it(tmp_path):
    path = tmp_path / "front.parquet"
    front = FrontFile(str(path))
    front.add([row()])
    before = path.read_bytes()
    with path.open("rb") as stream:
        front.add([row(epoch=2)])
        assert stream.read() == before
    assert path.read_bytes() != before


def test_an_unknown_scheme_is_refused():
    for path in ("nowhere://bucket/front.parquet", "file://relative"):
        with pytest.raises(
            ValueError, match=f"^storage path must be a local path or a URI .*, got {path} "
        ):
            FrontFile(path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a", "/a/b"),
        ("/a/", "/a/b"),
        ("/", "/b"),
        ("/a?c", "/a?c/b"),
        ("s3://a", "s3://a/b"),
        ("s3://a/c/?region=d&scheme=http", "s3://a/c/b?region=d&scheme=http"),
        ("s3://a?endpoint_override=127.0.0.1:5", "s3://a/b?endpoint_override=127.0.0.1:5"),
    ],
)
def test_a_name_goes_below_a_path_and_before_the_options_of_a_uri(path, expected):
    assert join(path, "b") == expected


def test_a_storage_that_cannot_be_asked_is_named_in_one_line():
    # A port on which nothing listens; credentials of a store that is not there.
    store = fs.S3FileSystem(
        endpoint_override="127.0.0.1:1",
        scheme="http",
        access_key="a",
        secret_key="b",
        region="c",
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
    )
    for read in (FrontFile, read_table):
        with pytest.raises(
            ValueError, match=r"^front file bucket/front.parquet cannot be read: "
        ) as caught:
            read("bucket/front.parquet", store)
        assert "\n" not in str(caught.value)


def test_a_writable_directory_is_created_and_left_empty(tmp_path):
    check_writable(str(tmp_path / "a" / "b"))
    check_writable(str(tmp_path / "a" / "b"))
    assert list((tmp_path / "a" / "b").iterdir()) == []
    store, _ = fs.FileSystem.from_uri("mock:///")
    check_writable("bucket/sweep", store)
    assert store.get_file_info("bucket/sweep").type == fs.FileType.Directory
    assert store.get_file_info(fs.FileSelector("bucket/sweep")) == []


def test_a_path_that_cannot_be_written_is_named_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    for path, reason in ((tmp_path / "file" / "x", "Not a directory"), (tmp_path / "file", "")):
        for name in (str(path), f"file://{path}"):
            with pytest.raises(
                ValueError, match=f"^storage path {name} is not writable: .*{reason}"
            ) as caught:
                check_writable(name)
            assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="/proc is where root cannot write")
def test_a_directory_that_is_there_and_takes_no_files_is_refused():
    with pytest.raises(ValueError, match=r"^storage path /proc/self is not writable: "):
        check_writable("/proc/self")


# A killed writer

WRITER = """
import json, sys
from snas_tune.front import FrontFile
front, rows = FrontFile(sys.argv[1]), json.loads(sys.stdin.readline())
for step in range(10**9):
    front.add({**row, "step": step, "latency_ms": 1.0} for row in rows)
    if step == 0:
        print("ready", flush=True)
"""


def test_a_killed_writer_always_leaves_a_whole_file_and_a_reader_always_sees_one(tmp_path):
    path = str(tmp_path / "front.parquet")
    # Long texts that do not compress, so that writing takes a good part of the writer's time.
    rng = np.random.default_rng(0)
    rows = [row(epoch=i, config=rng.bytes(20_000).hex(), latency_ms=1.0) for i in range(20)]
    ends = []
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            writer.stdin.write(json.dumps(rows) + "\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "ready\n"
            end = time.monotonic() + rng.uniform(0.05, 0.3)
            while time.monotonic() < end:
                assert_whole(path)
            os.kill(writer.pid, signal.SIGKILL)
        ends.append(assert_whole(path))
    assert len(set(ends)) > 1  # the kills came at different moments
    FrontFile(path).add([row("later", 1)])
    assert [p.name for p in tmp_path.iterdir()] == ["front.parquet"]


def assert_whole(path):
    """All rows of one add, and none of another; the step of that add."""
    table = read_table(path)
    assert table.num_rows == 20
    (step,) = set(table["step"].to_pylist())
    return step


def test_the_front_room_needs_neither_torch_nor_ray_nor_pandas():
    code = (
        "import sys; import snas_tune; own = set(sys.modules); import snas_tune.front; "
        "new = set(sys.modules) - own; print(sorted({'torch', 'ray', 'pandas'} & new))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
