"""Where the front file lies, and that a killed writer leaves it whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from front_rows import row
from pyarrow import fs

from snas_tune.front import FrontFile, check_writable, read_table
from snas_tune.front.storage import join

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
