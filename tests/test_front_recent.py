"""Rows that are appended beside a front file: none is lost, none comes back, whenever it dies."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from damage import cuts, flips
from front_rows import row, same
from pyarrow import fs

from snas_tune.front import FrontFile, ParetoFront, file, read_table
from snas_tune.front.recent import Recent, recent_path


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [0.0]
    monkeypatch.setattr(file, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def epochs(path: Path) -> list[int]:
    return read_table(str(path))["epoch"].to_pylist()


def test_rows_are_read_whether_the_file_has_them_or_not(tmp_path, clock):
    path = tmp_path / "front.parquet"
    front = FrontFile(str(path))
    for epoch in range(1, 6):
        front.append([row(epoch=epoch)])
        assert epochs(path) == list(range(1, epoch + 1))
        known = [front.row("t1", each) for each in range(epoch + 2)]
        assert [found["epoch"] for found in known if found] == list(range(1, epoch + 1))
        assert front.row("t0", 1) is front.row("t2", 1) is None
        if epoch % 2:
            assert front.table["epoch"].to_pylist() == epochs(path)
        assert len(ParetoFront.read(tmp_path)) == epoch
        assert FrontFile(str(path)).table["epoch"].to_pylist() == epochs(path)
    assert len(pq.read_table(path)) == 1
    assert front.behind
    clock[0] += 1
    front.append([row(epoch=6)])
    assert pq.read_table(path)["epoch"].to_pylist() == epochs(path) == [1, 2, 3, 4, 5, 6]
    front.append([row(epoch=7)])
    front.settle()
    assert len(pq.read_table(path)) == 7
    assert [each.name for each in tmp_path.iterdir()] == ["front.parquet"]


def test_an_append_costs_the_same_however_many_rows_there_are(tmp_path, clock, monkeypatch):
    replaced = []
    whole = file.replace_file

    def counted(store, path, content):
        clock[0] += len(content) / 1e5  # seconds that a slow storage takes
        replaced.append(clock[0])
        whole(store, path, content)

    monkeypatch.setattr(file, "replace_file", counted)
    front = FrontFile(str(tmp_path / "front.parquet"))
    for epoch in range(1, 401):
        front.append([row(epoch=epoch)])
        clock[0] += 0.1
        if front.due:
            front.settle()
    assert len(replaced) < 41  # in 40 s and more
    assert min(np.diff(replaced)) >= file.LEAST
    front.settle()
    assert len(pq.read_table(tmp_path / "front.parquet")) == 400


def test_the_newest_row_of_a_key_counts_also_after_a_death_between_two_steps(
    tmp_path, clock, monkeypatch
):
    path = tmp_path / "front.parquet"
    front = FrontFile(str(path))
    front.append([row(epoch=1)])
    front.append([row(epoch=2)])

    def dies(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Recent, "clear", dies)
    clock[0] += 100
    with pytest.raises(KeyboardInterrupt):
        front.append([row(epoch=2, checkpoint="t1/checkpoint_2")])
    monkeypatch.undo()
    rows = read_table(str(path)).to_pylist()
    assert [each["checkpoint"] for each in rows] == [None, "t1/checkpoint_2"]
    FrontFile(str(path)).settle()
    assert same(pq.read_table(path).to_pylist(), rows)
    assert [each.name for each in tmp_path.iterdir()] == ["front.parquet"]


STEPS = {
    "a write": (io.FileIO, "write"),
    "a flush": (os, "fsync"),
    "a rename": (Path, "replace"),
    "a removal": (Path, "unlink"),
}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("step", STEPS)
def test_every_row_that_was_taken_is_there_whichever_step_fails(
    tmp_path, clock, monkeypatch, step, error
):
    owner, name = STEPS[step]
    whole = getattr(owner, name)
    for nth in range(1, 8):
        folder = tmp_path / f"{step} {nth}"
        folder.mkdir()
        path, left, taken = folder / "front.parquet", [nth], 0

        def fails(*args, left=left, **options):
            left[0] -= 1
            if left[0] == 0:
                raise error("no more")
            return whole(*args, **options)

        front = FrontFile(str(path))
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fails) if owner is not io.FileIO else patch.setattr(
                io, "FileIO", type("Failing", (io.FileIO,), {"write": fails})
            )
            for epoch in range(1, 10):
                clock[0] += 0.4
                try:
                    front.append([row(epoch=epoch)])
                    taken = epoch
                except (OSError, KeyboardInterrupt):
                    break
        seen = epochs(path) if path.exists() else []
        assert seen in (list(range(1, taken + 1)), list(range(1, taken + 2)))
        again = FrontFile(str(path))
        for epoch in range(taken + 1, 12):
            again.append([row(epoch=epoch)])
        again.settle()
        assert pq.read_table(path)["epoch"].to_pylist() == list(range(1, 12))
        assert [each.name for each in folder.iterdir()] == ["front.parquet"]


def test_a_full_disk_leaves_no_half_line(tmp_path, clock, monkeypatch):
    path = tmp_path / "front.parquet"
    front = FrontFile(str(path))
    front.append([row(epoch=1)])
    front.append([row(epoch=2)])

    class Full(io.FileIO):
        def write(self, content):
            super().write(content[: len(content) // 2])
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(io, "FileIO", Full)
        with pytest.raises(OSError, match="No space"):
            front.append([row(epoch=3)])
    assert epochs(path) == [1, 2]
    front.append([row(epoch=3)])
    assert epochs(path) == [1, 2, 3]


def test_a_store_that_cannot_append_has_them_too(clock):
    store, _ = fs.FileSystem.from_uri("mock:///")
    front = FrontFile("bucket/front.parquet", store)
    for epoch in range(1, 5):
        front.append([row(epoch=epoch)])
        assert len(read_table("bucket/front.parquet", store)) == epoch
    front.settle()
    files = store.get_file_info(fs.FileSelector("bucket", recursive=True))
    assert [info.base_name for info in files] == ["front.parquet"]


def beside(folder: Path, clock) -> tuple[Path, bytes]:
    """A front file of one row, and the bytes of two rows beside it."""
    front = FrontFile(str(folder / "front.parquet"))
    for epoch in (1, 2, 3):
        front.append([row(epoch=epoch)])
    path = Path(recent_path(str(folder / "front.parquet")))
    return path, path.read_bytes()


def test_a_flipped_bit_is_found(tmp_path, clock):
    path, content = beside(tmp_path, clock)
    for changed in flips(content, 200):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"front\.recent\.jsonl is damaged$"):
            read_table(str(tmp_path / "front.parquet"))


def test_a_line_that_a_crash_cut_off_is_none(tmp_path, clock):
    path, content = beside(tmp_path, clock)
    for left in (*cuts(content[:-1], 50), content + bytes(100), content + bytes(9) + b"\n"):
        path.write_bytes(left)
        whole = left.count(b"\n", 0, len(content))
        assert epochs(tmp_path / "front.parquet") == [1, 2, 3][: max(1, whole)]


@pytest.mark.parametrize(
    "content", [b"[]", b'{"trial": "\\ud800"}', b"[" * 100_000, b'{"a": 1}', b'{"epoch": NaN}']
)
def test_what_a_stranger_wrote_beside_is_refused_in_one_line(tmp_path, clock, content):
    import zlib

    path, _ = beside(tmp_path, clock)
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(content), content))
    for read in (read_table, FrontFile):
        with pytest.raises(ValueError, match="cannot be read: ") as caught:
            read(str(tmp_path / "front.parquet"))
        assert "\n" not in str(caught.value)


WRITER = """
import sys
from front_rows import row
from snas_tune.front import FrontFile, file
file.LEAST, file.SHARE = 0.002, 0.5
front = FrontFile(sys.argv[1])
for epoch in range(1, 10**9):
    front.append([row(epoch=epoch, step=epoch)])
    print(epoch, flush=True)
"""


def test_a_killed_writer_lost_no_row_and_a_reader_missed_none(tmp_path):
    path, taken = tmp_path / "front.parquet", tmp_path / "taken"
    draws = np.random.default_rng(0)
    for _ in range(2):
        with (
            taken.open("w") as out,
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path)],
                stdout=out,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            ) as writer,
        ):
            while not taken.read_text().count("\n") > 20:
                assert writer.poll() is None
            end = time.monotonic() + draws.uniform(0.05, 0.2)
            while time.monotonic() < end:
                known = last_of(taken)
                assert len(read_table(str(path))) >= known
            os.kill(writer.pid, signal.SIGKILL)
        assert last_of(taken) <= len(epochs(path)) <= last_of(taken) + 1
        path.unlink()
        Path(recent_path(str(path))).unlink(missing_ok=True)


def last_of(taken: Path) -> int:
    whole, _, _ = taken.read_text().rpartition("\n")
    return int(whole.rpartition("\n")[2])
