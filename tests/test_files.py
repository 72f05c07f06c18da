"""Files that are replaced at once, under readers, other writers and kill -9; locks; error lines."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from snas_tune import files
from snas_tune.files import first_line, locked, replacing, write_whole
from snas_tune.owned import cache_directory


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("to_disk", [False, True])
def test_a_file_is_replaced_whole_in_directories_that_are_made(tmp_path, alone, to_disk):
    path = tmp_path / "new" / "file.json"
    for content in ("é", b"second"):
        write_whole(path, content, to_disk=to_disk, alone=alone)
        assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert list(path.parent.iterdir()) == [path]
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_the_disk_has_the_content_before_the_name_where_that_is_asked(tmp_path, monkeypatch):
    path, flushed = tmp_path / "file", []

    def fsync(descriptor: int) -> None:
        flushed.append((os.pread(descriptor, 9, 0), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, "content")
    assert flushed == []
    path.unlink()
    write_whole(path, "content", to_disk=True)
    assert flushed == [(b"content", False)]


def test_the_path_to_write_to_is_beside_the_file_and_has_its_suffix(tmp_path):
    path = tmp_path / "picture.svg"
    with replacing(path) as first, replacing(path) as second:
        assert first.parent == second.parent == tmp_path
        assert first.suffix == second.suffix == ".svg"
        assert len({path, first, second}) == 3
        first.write_text("first")
        second.write_text("second")
        assert not path.exists()
    assert path.read_text() == "first"  # the outer block ends last
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("alone", [False, True])
def test_after_an_error_the_old_file_stays_alone(tmp_path, alone):
    path = tmp_path / "file"
    path.write_text("old")

    def break_off() -> None:
        with replacing(path, alone=alone) as temporary:
            temporary.write_text("new, half")
            raise RuntimeError("half")

    with pytest.raises(RuntimeError, match=r"^half$"):
        break_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_alone_overwrites_what_a_killed_one_left(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from snas_tune.files import replacing\n"
        "with replacing(Path(sys.argv[1]), alone=True) as temporary:\n"
        "    temporary.write_text('half'); print('written', flush=True); time.sleep(60)\n"
    )
    path = tmp_path / "file"
    writer = run(code, path)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert len(list(tmp_path.iterdir())) == 1
    assert not path.exists()
    write_whole(path, "whole", alone=True)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_readers_see_one_whole_file_while_writers_replace_it(tmp_path):
    path, done = tmp_path / "file", threading.Event()
    write_whole(path, "0" * 100_000)

    def write(digit: str) -> None:
        while not done.is_set():
            write_whole(path, digit * 100_000)

    writers = [threading.Thread(target=write, args=(digit,)) for digit in "12"]
    for writer in writers:
        writer.start()
    seen = [path.read_text() for _ in range(300)]
    done.set()
    for writer in writers:
        writer.join()
    assert all(text == text[0] * 100_000 for text in seen)
    assert list(tmp_path.iterdir()) == [path]


LOCKING = (
    "import sys, time; from pathlib import Path; from snas_tune.files import locked\n"
    "with locked(Path(sys.argv[1])):\n"
    "    print('locked', flush=True); time.sleep(float(sys.argv[2]))\n"
)


def test_a_lock_is_held_by_one_process_and_released_by_its_death(tmp_path):
    path = tmp_path / "lock"
    holder = run(LOCKING, path, 60)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    entered = threading.Event()

    def enter() -> None:
        with locked(path):
            entered.set()

    waiter = threading.Thread(target=enter)
    waiter.start()
    assert not entered.wait(0.5)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert entered.wait(30)
    waiter.join()
    start = time.monotonic()
    with locked(path):  # released at the end of the block
        pass
    assert time.monotonic() - start < 5


def test_a_wait_for_a_lock_is_said_and_has_an_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "SOON", 0.1)
    monkeypatch.setattr(files, "LATE", 0.1)
    holder = run(LOCKING, tmp_path / "lock", 60)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    with locked(tmp_path / "lock"):
        said = capsys.readouterr().err
    holder.kill()
    holder.communicate()
    assert said == f"waiting for another process, which holds {tmp_path}/lock\n"


def test_without_a_place_for_the_lock_the_block_runs(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "lock", tmp_path / "nowhere" / "lock"):
        with locked(path):
            ran = path
        assert ran == path


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is Linux's")
def test_the_cache_is_where_the_user_or_the_system_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SNAS_TUNE_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
    monkeypatch.setenv("SNAS_TUNE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == (tmp_path / "snas_tune")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one \ntwo"), "one"),
        (ValueError(), "ValueError"),
        (ValueError(" \n"), "ValueError"),
        (FileNotFoundError(2, "No such file", "x"), "[Errno 2] No such file: 'x'"),
    ],
)
def test_the_first_line_of_an_error_says_something(error, line):
    assert first_line(error) == line


def test_an_unwritable_place_is_an_oserror_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x", tmp_path / "folder"):
        with pytest.raises(OSError, match=r"file|folder"):
            write_whole(Path(path), "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
