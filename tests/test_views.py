"""Event files, pictures and lines of progress: none ends a sweep, none holds it up."""

from __future__ import annotations

import errno
import io
import os
import shlex
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from fake_trials import a_trial, run
from ray import tune
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import summary_pb2

from snas_tune import events
from snas_tune.cli.app import main
from snas_tune.front import FrontFile, ParetoFront
from snas_tune.sweep import SweepDriver, trial_name
from snas_tune.sweep.callbacks import driver as driver_room
from snas_tune.sweep.callbacks import tensorboard, view
from snas_tune.sweep.callbacks.progress import Progress
from snas_tune.tensorboard_log import SweepLog, event_file, sweep_log
from snas_tune.tensorboard_log.event_file import EventFile

NAME = "TensorBoard's event files"

STORAGE_FAULTS = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.ESTALE, errno.EDQUOT]


@pytest.fixture
def trials(tmp_path):
    return [a_trial(tmp_path / "sweep", number) for number in range(4)]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(view, "RETRY", 0.01)


@pytest.fixture
def no_pictures(monkeypatch):
    """They take the most time."""
    monkeypatch.setattr(SweepLog, "draw_front", lambda *_: None)


def children_in_log(root: Path, trial) -> list[int]:
    """The epochs of a trial's children in its event files."""
    folder = str(root / "tensorboard" / trial_name(trial.config))
    log = EventAccumulator(folder).Reload()
    tags = (events.CHILDREN, events.ARCHITECTURES)
    steps = [[event.step for event in log.Tensors(tag)] for tag in tags]
    assert steps[0] == steps[1]
    return steps[0]


def whole(root: Path, trials) -> bool:
    rows = ParetoFront.read(root).rows
    assert len(rows) == 3 * len(trials)
    return all(children_in_log(root, trial) == [1, 2, 3] for trial in trials)


class Faulty(io.FileIO):
    """A file that takes half of each n-th write and then fails, for a while."""

    fault: int | None = None
    every = 1
    count = 0

    def write(self, content):
        Faulty.count += 1
        fault = Faulty.fault
        if fault and Faulty.count % Faulty.every == 0:
            super().write(content[: len(content) // 2])
            raise OSError(fault, os.strerror(fault))
        return super().write(content)


@pytest.fixture
def faulty(monkeypatch):
    def opened(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return Faulty(folder / f"events.out.tfevents.{len(list(folder.iterdir())):03d}", "a")

    monkeypatch.setattr(event_file, "_new_file", opened)
    Faulty.fault, Faulty.every, Faulty.count = None, 1, 0
    yield Faulty
    Faulty.fault = None


@pytest.mark.parametrize("cut", [True, False])
def test_an_event_file_ends_with_a_whole_record_after_every_nth_failed_write(
    tmp_path, faulty, monkeypatch, cut
):
    if not cut:  # a file system that takes nothing at all

        def refuse(descriptor, length):
            raise OSError(errno.EROFS, "read-only")

        monkeypatch.setattr(event_file.os, "ftruncate", refuse)
    for every in range(1, 6):
        folder, file, written = tmp_path / str(every), EventFile(tmp_path / str(every)), []
        faulty.every = every
        for step in range(1, 10):
            faulty.fault = errno.ENOSPC if step % 3 else None
            value = summary_pb2.Summary.Value(tag="a", simple_value=step)
            try:
                file.add(summary_pb2.Summary(value=[value]), step)
                written.append(step)
            except OSError:
                pass
        file.close()
        log = EventAccumulator(str(folder)).Reload()
        assert [event.step for event in log.Scalars("a")] == written
        assert 3 <= len(written) < 9 or every > 1


@pytest.mark.parametrize("fault", STORAGE_FAULTS)
def test_event_files_wait_for_their_storage_and_are_whole_at_the_end(
    trials, tmp_path, faulty, capsys, no_pictures, fault
):
    driver = SweepDriver(4, progress=False)
    run(driver, trials[:1])
    faulty.fault = fault
    run(driver, trials[1:3], settled=False)
    while "wait" not in "".join(driver._log._view._said):
        pass
    faulty.fault = None
    run(driver, trials[3:])
    driver.on_experiment_end(trials)
    assert capsys.readouterr().err.splitlines() == [
        f"{NAME} wait for their storage: [Errno {fault}] {os.strerror(fault)}",
        f"{NAME} are written again",
    ]
    assert whole(tmp_path / "sweep", trials)
    assert driver._log._view._thread is None


def test_what_had_no_room_to_wait_is_made_anew_from_the_front_file(
    trials, tmp_path, faulty, capsys, monkeypatch, no_pictures
):
    monkeypatch.setattr(view, "ROOM", 5)
    driver = SweepDriver(4, progress=False)
    faulty.fault = errno.EIO
    run(driver, trials[:3], settled=False)
    faulty.fault = None
    run(driver, trials[3:], settled=False)
    driver.on_experiment_end(trials)
    said = capsys.readouterr().err
    assert said.count("fall behind") == 1
    assert "snas-tune log" not in said
    assert whole(tmp_path / "sweep", trials)


def test_a_storage_that_stays_away_ends_with_the_command_that_makes_the_log(
    trials, tmp_path, faulty, capsys, monkeypatch, no_pictures
):
    faulty.fault = errno.ENOSPC
    driver = SweepDriver(4, progress=False)
    run(driver, trials, settled=False)
    driver.on_experiment_end(trials)
    *_, last = capsys.readouterr().err.splitlines()
    command = last.partition("by: ")[2]
    assert command == f"snas-tune log {tmp_path / 'sweep'} --logdir log"
    faulty.fault = None
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)[1:]) == 0
    assert len(list((tmp_path / "log" / "sweep").iterdir())) == 1 + len(trials)


def test_a_view_that_hangs_holds_up_neither_the_sweep_nor_its_end(
    trials, tmp_path, monkeypatch, capsys, no_pictures
):
    free = threading.Event()
    monkeypatch.setattr(SweepLog, "add_result", lambda *_: free.wait(60))
    monkeypatch.setattr(view, "ROOM", 4)
    monkeypatch.setattr(tensorboard, "LAST", 0.1)
    driver = SweepDriver(4, progress=False)
    run(driver, trials, settled=False)
    driver.on_experiment_end(trials)
    driver.on_experiment_end(trials)
    free.set()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"{NAME} fall behind; some are left out"
    assert "snas-tune log" in said[1]
    assert len(ParetoFront.read(tmp_path / "sweep").rows) == 12


VIEWS = {
    **{
        f"event files, {name}": (SweepLog, name)
        for name in (
            "__init__",
            "start_trial",
            "add_result",
            "add_checkpoints",
            "end_trial",
            "add_front_size",
            "draw_front",
            "close",
        )
    },
    "event files, new": (event_file, "_new_file"),
    "event files, a record": (event_file, "_record"),
    "pictures, the front": (sweep_log, "front_figure"),
    "pictures, an architecture": (sweep_log, "architecture_figure"),
    "pictures, pixels": (sweep_log, "figure_to_array"),
    "pictures, table": (sweep_log, "_markdown"),
    "pictures, an architecture's text": (sweep_log, "read_architecture"),
    "the space": (tensorboard, "_values"),
    "the thread's piece": (tensorboard.TensorboardLog, "_opened"),
    "progress, result": (Progress, "result"),
    "progress, end": (Progress, "end"),
    "progress, failure": (driver_room, "failure_of"),
}


class OwnError(BaseException):
    """Of a user's own code, not even an Exception."""


@pytest.mark.parametrize("error", [OSError, KeyError, OwnError])
@pytest.mark.parametrize("place", VIEWS)
def test_no_exception_of_a_view_ends_a_sweep(
    trials, tmp_path, monkeypatch, capsys, request, place, error
):
    if error is OwnError and "progress" in place:
        error = RecursionError  # those run in the sweep's own thread, as Ctrl-C does
    owner, name = VIEWS[place]

    def fail(*_args, **_options):
        raise error("broken on purpose")

    if "pictures" not in place:
        request.getfixturevalue("no_pictures")
    monkeypatch.setattr(owner, name, fail)
    driver = SweepDriver(4, space={"penalty_strength": tune.loguniform(0.1, 10)})
    driver.on_step_begin(0, trials)
    run(driver, trials[:2], settled=False)
    driver.on_trial_start(0, trials, trials[2])
    trials[2].error_file = None
    driver.on_trial_error(0, trials, trials[2])
    driver.on_step_end(0, trials)
    driver.on_experiment_end(trials)
    said = capsys.readouterr().err
    assert 1 <= said.count("broken on purpose") <= 2  # once for each of two views at the most
    assert "Traceback" not in said
    assert len(ParetoFront.read(tmp_path / "sweep").rows) == 6


def test_every_method_of_the_callback_was_walked():
    heard = {name for name in dir(tune.Callback) if name.startswith("on_")}
    own = {name for name in vars(SweepDriver) if name in heard}
    assert own == {
        "on_step_begin",
        "on_trial_start",
        "on_trial_result",
        "on_trial_save",
        "on_trial_complete",
        "on_trial_error",
        "on_step_end",
        "on_experiment_end",
    }


def test_an_error_of_the_front_file_is_no_view(trials, monkeypatch):
    def fail(*_):
        raise ValueError("front column must be")

    monkeypatch.setattr(FrontFile, "append", fail)
    driver = SweepDriver(4, progress=False)
    with pytest.raises(ValueError, match="front column must be"):
        run(driver, trials[:1], settled=False)
    driver.on_experiment_end([])


def test_pictures_that_fail_leave_the_others(trials, tmp_path, monkeypatch, capsys):
    whole_figure, seen = sweep_log.architecture_figure, []

    def broken_once(*args):
        seen.append(args)
        if len(seen) == 1:
            raise RuntimeError("matplotlib has no font")
        return whole_figure(*args)

    monkeypatch.setattr(sweep_log, "architecture_figure", broken_once)
    driver = SweepDriver(4, progress=False)
    run(driver, trials)
    driver.on_experiment_end(trials)
    assert capsys.readouterr().err.splitlines() == [
        f"{NAME} lack a part: RuntimeError: matplotlib has no font"
    ]
    log = EventAccumulator(str(tmp_path / "sweep" / "tensorboard" / "front")).Reload()
    assert "front" in log.Tags()["images"]
    assert len(log.Tags()["images"]) > 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_full_disk_in_the_middle(tmp_path, capsys):
    root = tmp_path / "disk"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        trials = [a_trial(root / "sweep", number) for number in range(6)]
        driver = SweepDriver(6, progress=False)
        run(driver, trials[:2])
        with suppress(OSError), (root / "filler").open("wb", 0) as filler:
            while filler.write(bytes(512)):
                pass
        run(driver, trials[2:5], settled=False)
        (root / "filler").unlink()
        run(driver, trials[5:])
        driver.on_experiment_end(trials)
        assert whole(root / "sweep", trials)
        said = capsys.readouterr().err
        assert said.count(f"{NAME} wait for their storage: ") == 1
        assert said.count("the front file waits for its storage: ") == 1
        assert said.count(f"{NAME} are written again") == 1
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)
