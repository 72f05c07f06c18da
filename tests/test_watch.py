"""The watch over a sweep: what ends it, what is only said, and how a waiting thread is freed."""

from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest
from front_rows import row

from snas_tune.front import FILE_NAME, FrontFile, ParetoFront
from snas_tune.sweep import ray_watch, watch
from snas_tune.sweep.callbacks.front import SweepFront
from snas_tune.sweep.ray_watch import Eyes, Folder, Pulse, SweepWatch, last_words
from snas_tune.sweep.watch import (
    FIRST,
    LEAST,
    SILENCE,
    USUAL,
    Freed,
    Sight,
    SweepLost,
    Watch,
    cause,
    delay,
)


@pytest.mark.parametrize(
    ("sight", "expected"),
    [
        (Sight(), ""),
        (Sight(machines=3, silent=SILENCE), ""),
        (
            Sight(dead="Ray's node process (raylet, pid 7)"),
            "Ray's node process (raylet, pid 7) died",
        ),
        (Sight(machines=0, here=False), "no machine of Ray's cluster is alive"),
        (Sight(machines=2, here=False), "Ray's node on this machine died"),
        (Sight(silent=SILENCE + 5), "Ray's head did not answer for 45 s"),
        (Sight(folder="the folder was removed", dead="raylet"), "the folder was removed"),
        (Sight(quiet=1e6, epoch=1.0), ""),
    ],
)
def test_a_sweep_is_lost_when_ray_or_its_folder_is(sight, expected):
    assert cause(sight) == expected


@pytest.mark.parametrize(
    ("quiet", "epoch", "says"),
    [
        (FIRST, None, ""),
        (FIRST + 1, None, "no result in the first 30 minutes, 2 trials run; waiting on"),
        (LEAST, 1.0, ""),
        (LEAST + 1, 1.0, "no result for 10 minutes, 2 trials run, an epoch usually takes 1 s;"),
        (USUAL * 100.0, 100.0, ""),
        (USUAL * 100.0 + 60, 100.0, "no result for 34 minutes, 2 trials run, an epoch usually"),
    ],
)
def test_a_long_wait_for_a_result_is_said(quiet, epoch, says):
    line = delay(Sight(quiet=quiet, epoch=epoch, running=2))
    assert bool(line) == bool(says)
    assert line.startswith(says)


def watched(look, **options):
    return Watch(look, lambda why: f"{why}; saved", every=0.05, **options)


def in_main_and_beside(work):
    """Run in this thread, and in another one; what each raised."""
    found = []

    def run():
        try:
            work()
        except BaseException as error:
            found.append(error)

    run()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=60)
    assert len(found) == 2
    return found


def test_a_waiting_thread_is_freed_even_if_something_catches_that_once(monkeypatch):
    monkeypatch.setattr(watch, "AGAIN", 0.5)

    def work():
        dead = Sight(dead="raylet")
        begin = time.monotonic()
        look = lambda: dead if time.monotonic() > begin + 0.3 else Sight()  # noqa: E731
        with watched(look, grace=30.0):
            try:
                while True:
                    time.sleep(0.05)
            except Freed:
                while True:
                    time.sleep(0.05)

    before = signal.getsignal(signal.SIGUSR2)
    for error in in_main_and_beside(work):
        assert isinstance(error, SweepLost)
        assert str(error) == "raylet died; saved"
    assert signal.getsignal(signal.SIGUSR2) is before


def test_a_thread_that_hears_nothing_is_said_to_be_stuck():
    lines, stuck = [], threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        held = watched(
            lambda: Sight(machines=0),
            stuck=lambda line: (lines.append(line), stuck.set()),
            grace=0.2,
        )

        def sweep():
            with held:
                assert stuck.wait(60)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
                while True:
                    time.sleep(0.05)

        with pytest.raises(SweepLost):
            sweep()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
    assert lines == ["no machine of Ray's cluster is alive; saved"]


def test_an_error_of_ray_s_own_is_said_as_what_it_comes_of():
    with (
        pytest.raises(SweepLost, match="raylet died; saved"),
        watched(lambda: Sight(dead="raylet")),
    ):
        raise ConnectionError("GCS")
    with pytest.raises(ConnectionError), watched(Sight):
        raise ConnectionError("something else")
    with pytest.raises(KeyboardInterrupt), watched(lambda: Sight(dead="raylet")):
        raise KeyboardInterrupt


def test_a_watch_that_nobody_leaves_ends_with_the_sweep_and_says_all_in_one(capsys):
    free = Watch(Sight, str, every=0.02, alone=lambda thread: True)
    free.__enter__()
    free._thread.join(timeout=60)
    assert not free._thread.is_alive()
    free.close()
    held = Watch(
        lambda: Sight(dead="raylet"), lambda why: f"{why}; x", every=0.02, alone=lambda _: False
    )
    with pytest.raises(Freed, match=r"^raylet died; x$"):  # noqa: PT012 - what tune does
        held.__enter__()
        while True:
            time.sleep(0.05)
    held._thread.join(timeout=60)
    assert not held._thread.is_alive()
    assert capsys.readouterr().err == "raylet died; x\n"


def test_a_quiet_sweep_is_told_of_once(capsys):
    looks = []

    def look():
        looks.append(1)
        return Sight(quiet=2 * FIRST)

    with watched(look):
        while len(looks) < 5:
            time.sleep(0.02)
    assert capsys.readouterr().err.splitlines() == [
        "no result in the first 60 minutes, 0 trials run; waiting on"
    ]


def test_a_folder_is_found_where_it_was_moved_to(tmp_path):
    path = tmp_path / "sweep"
    path.mkdir()
    folder = Folder(str(path))
    assert (folder.place, folder.problem) == (str(path), "")
    path.rename(tmp_path / "away")
    path.mkdir()  # as Tune makes it anew at the next result
    assert folder.place == str(tmp_path / "away")
    assert folder.problem == (
        f"the results' folder {path} was moved to {tmp_path}/away while the sweep ran"
    )
    shutil.rmtree(tmp_path / "away")
    assert folder.problem == f"the results' folder {path} was removed while the sweep ran"
    assert Folder("s3://bucket/sweeps/k").problem == ""
    later = Folder(str(tmp_path / "later"))
    assert later.problem == ""
    (tmp_path / "later").mkdir()
    assert later.problem == ""
    (tmp_path / "later").rmdir()
    assert later.problem.endswith("was removed while the sweep ran")


def test_a_disk_that_is_away_for_now_is_not_a_folder_that_is_gone(tmp_path, monkeypatch):
    folder = Folder(str(tmp_path))

    def away(self, **_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(ray_watch.Path, "stat", away)
    assert folder.problem == ""


@pytest.fixture
def eyes(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_watch.ray, "is_initialized", lambda: False)
    made = Eyes(Folder(str(tmp_path)), Pulse())
    yield made
    made.close()


def test_processes_of_ray_that_ended_are_named(eyes, monkeypatch):
    process = subprocess.Popen(["sleep", "60"])
    running = subprocess.Popen(["sleep", "60"])
    node = SimpleNamespace(
        all_processes={
            "raylet": [SimpleNamespace(process=process)],
            "gcs_server": [SimpleNamespace(process=running)],
            "dashboard": [],
        }
    )
    monkeypatch.setattr(ray_watch.ray._private.worker, "_global_node", node)
    assert eyes().dead == ""
    process.kill()
    process.wait()
    assert eyes().dead == f"Ray's node process (raylet, pid {process.pid})"
    running.kill()
    running.wait()
    assert "Ray's head process (gcs_server, pid" in eyes().dead


def test_the_silence_of_ray_is_counted_only_while_this_process_runs(eyes, monkeypatch):
    clock = [time.monotonic()]
    monkeypatch.setattr(ray_watch.time, "monotonic", lambda: clock[0])
    eyes.close()
    eyes._seen, eyes._looked = eyes._answers, clock[0]
    for _ in range(10):
        clock[0] += 2.0
        silent = eyes().silent
    assert silent == pytest.approx(20)
    clock[0] += 3600  # the machine slept
    assert eyes().silent <= 25
    eyes._answers += 1
    assert eyes().silent == 0


def test_the_last_words_count_what_is_saved_and_tell_how_to_go_on(tmp_path):
    path = tmp_path / "k"
    waiting = [row("a", 1), row("a", 2), row("b", 1)]
    file = FrontFile(str(path / FILE_NAME))

    def close(trials):
        file.add(waiting)

    front = SimpleNamespace(close=close, table=ParetoFront.from_rows(waiting).table)
    line = last_words("raylet died", str(path), str(path), front, ["trial"])
    assert line == (
        f"raylet died; 3 children of 2 trials are saved in {path}; "
        "go on with the same command and --resume"
    )
    moved = last_words("moved", str(path), str(tmp_path / "away"), front, ["trial"])
    assert f"3 children of 2 trials are saved in {tmp_path}/away; move it back" in moved
    gone = last_words("removed", str(path), "", front, ["trial"])
    assert f"3 children of 2 trials are saved in {path}-saved; the sweep cannot" in gone
    assert len(ParetoFront.read(tmp_path / "k-saved")) == 3


def test_the_last_words_before_the_first_child_count_nothing(tmp_path):
    line = last_words("raylet died", str(tmp_path), str(tmp_path), None, [])
    assert line == (
        "raylet died; no child was finished yet; go on with the same command and --resume"
    )


def test_a_storage_that_does_not_answer_holds_no_last_words_up(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_watch, "PATIENCE", 0.1)
    hold = threading.Event()
    front = SimpleNamespace(close=lambda trials: hold.wait(60))
    line = last_words("raylet died", str(tmp_path), str(tmp_path), front, [])
    hold.set()
    assert line.startswith("raylet died; no child was finished yet; go on with ")


def test_the_pulse_knows_what_an_epoch_usually_takes():
    pulse = Pulse()
    assert pulse.epoch is None
    for seconds in (1.0, 2.0, 90.0):
        pulse.on_trial_result(0, [], None, {"time_this_iter_s": seconds})
    assert pulse.epoch == 2.0


def test_a_watch_travels_with_a_tuner_and_leaves_its_threads_behind(tmp_path):
    whole = SweepWatch(str(tmp_path), SweepFront())
    whole._watch = Watch(Sight, str)
    copy = pickle.loads(pickle.dumps(whole))
    assert (copy._path, copy._watch) == (str(tmp_path), None)
