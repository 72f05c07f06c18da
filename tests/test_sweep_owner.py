"""One process at a time has a sweep: claims of its directory, which the dead do not hold."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow.fs
import pytest
from conftest import TINY

from snas_tune.sweep import (
    SweepDriver,
    SweepLost,
    SweepSettings,
    make_tuner,
    run_sweep,
    sweep_space,
)
from snas_tune.sweep import claim as claims
from snas_tune.sweep.claim import Taken, claim
from snas_tune.sweep.directory import claim_experiment, claim_new

RUNS = r"^name must be that of a sweep that no process runs, got 'x': process {} on host .* since 2"


def holder(path: Path, then: str) -> subprocess.Popen[str]:
    """Another process that has the directory, until it is killed."""
    code = f"""
from snas_tune.sweep.claim import claim
held = claim({str(path)!r})
print("held", flush=True)
{then}
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_sweep_that_another_process_runs_is_refused_until_that_process_is_dead(tmp_path):
    process = holder(tmp_path / "x", "import time; time.sleep(600)")
    try:
        with pytest.raises(Taken, match=RUNS.format(process.pid)) as caught:
            claim(str(tmp_path / "x"))
        assert "\n" not in str(caught.value)
    finally:
        end(process)
    claim(str(tmp_path / "x")).release()


def test_a_fork_of_a_dead_owner_has_nothing(tmp_path):
    """Such as a loader's worker that outlives a killed driver."""
    # The child has let go of what it inherited before it says its number.
    fork = "import os, time; os.fork() or print(os.getpid(), flush=True)"
    process = holder(tmp_path / "x", f"{fork}; time.sleep(600)")
    child = int(process.stdout.readline())
    end(process)
    try:
        claim(str(tmp_path / "x")).release()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_second_sweep_in_the_same_process_is_refused_before_its_data_are_read(tmp_path):
    asked = SweepSettings(name="x", storage_path=str(tmp_path))
    space = sweep_space(**{**TINY, "data": "no/such/folder"})
    with claim(str(tmp_path / "x")):
        for start in (run_sweep, make_tuner):
            with pytest.raises(Taken, match=RUNS.format(os.getpid())):
                start(space, asked)
        with pytest.raises(Taken, match=RUNS.format(os.getpid())):
            run_sweep(space, SweepSettings(name="x", storage_path=str(tmp_path), resume=True))
    with pytest.raises(ValueError, match="no/such/folder"):
        run_sweep(space, asked)


def test_a_refused_sweep_gives_its_name_back_and_leaves_nothing(tmp_path):
    space = sweep_space(**{**TINY, "data": "no/such/folder"})
    (tmp_path / "old").mkdir()
    for folder, name in ((tmp_path, "new"), (tmp_path, "old"), (tmp_path / "a/b", "new")):
        with pytest.raises(ValueError, match="no/such/folder"):
            run_sweep(space, SweepSettings(name=name, storage_path=str(folder)))
        claim(str(folder / name)).release()
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_many_sweeps_without_a_name_that_begin_at_once_have_different_ones(tmp_path):
    held = []
    start = threading.Barrier(8)

    def begin():
        start.wait()
        held.append(claim_new(str(tmp_path), "digits-demo-seed0"))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = ["", *(f"-{number}" for number in range(2, 9))]
    assert sorted(one.name for one in held) == [f"digits-demo-seed0{n}" for n in numbers]
    for one in held:
        one.release()


@pytest.fixture
def without_locks(monkeypatch):
    """As on an object store, or a file system that knows no locks; in less time."""

    def none(path):
        raise OSError("no locks available")

    monkeypatch.setattr(claims, "lock_if_free", none)
    for name, seconds in (("BEAT", 0.05), ("STALE", 2.0), ("SETTLE", 0.3)):
        monkeypatch.setattr(claims, name, seconds)


def test_without_locks_the_owner_writes_that_it_lives(tmp_path, without_locks):
    path = str(tmp_path / "x")
    first = claim(path)
    written = (tmp_path / "x" / claims.OWNER).read_text()
    with pytest.raises(Taken, match=RUNS.format(os.getpid())):
        claim(path)
    for _ in range(100):
        if (tmp_path / "x" / claims.OWNER).read_text() != written:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("nothing was written for 5 seconds")
    first.release()
    assert not (tmp_path / "x").exists()
    claim(path).release()


def test_without_locks_a_dead_owner_is_followed_and_stops_if_it_was_only_asleep(
    tmp_path, without_locks, monkeypatch
):
    path = str(tmp_path / "x")
    monkeypatch.setattr(claims, "BEAT", 600.0)
    asleep = claim(path)
    monkeypatch.setattr(claims, "BEAT", 0.05)
    monkeypatch.setattr(claims, "STALE", 0.0)
    second = claim(path)
    asleep._ended.wait = lambda seconds: bool(asleep.lost)  # awake again
    asleep._beat()
    message = r"^sweep x must have one process, got another: process \d+ on host"
    with pytest.raises(ValueError, match=message):
        asleep.check()
    asleep.release()
    second.check()
    assert (tmp_path / "x" / claims.OWNER).exists()
    second.release()


def test_without_locks_one_of_several_that_begin_at_once_goes_on(tmp_path, without_locks):
    start, held, refused = threading.Barrier(4), [], []

    def begin():
        start.wait()
        try:
            held.append(claim(str(tmp_path / "x")))
        except Taken as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 3)
    held[0].release()


def test_a_driver_whose_sweep_another_one_runs_writes_nothing(tmp_path):
    """So ``Tuner.restore`` of a sweep that runs ends before its first step."""
    path = tmp_path / "x"
    trial = SimpleNamespace(
        storage=SimpleNamespace(
            experiment_fs_path=str(path), storage_filesystem=pyarrow.fs.LocalFileSystem()
        )
    )
    driver = SweepDriver(1, progress=False)
    with claim(str(path)):
        before = sorted(path.iterdir())
        with pytest.raises(Taken, match=re.escape("got 'x'")):
            driver.on_step_begin(0, [trial])
        driver.on_trial_complete(0, [trial], trial)
        driver.on_experiment_end([trial])
        assert sorted(path.iterdir()) == before


@pytest.mark.parametrize(
    ("error", "left"), [(ValueError, False), (SweepLost, True), (KeyboardInterrupt, True)]
)
def test_what_died_before_it_began_may_be_resumed_and_what_was_refused_leaves_nothing(
    tmp_path, error, left
):
    with pytest.raises(error), claim_experiment(str(tmp_path), "x", resume=False):
        raise error
    assert (tmp_path / "x").is_dir() == left
    if left:
        claim_experiment(str(tmp_path), "x", resume=True).release()
