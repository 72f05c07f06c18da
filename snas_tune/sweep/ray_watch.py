"""What the watch sees: Ray's processes, the cluster, the results' folder, the last result."""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import TIME_THIS_ITER_S

from snas_tune.front import FILE_NAME, FrontFile
from snas_tune.front.storage import STORAGE_ERRORS, join
from snas_tune.sweep.callbacks.front import SweepFront
from snas_tune.sweep.lines import say
from snas_tune.sweep.watch import EVERY, Sight, Watch

PROCESSES = {"raylet": "node", "gcs_server": "head"}
"""Ray's processes without which nothing goes on, and what they are."""

ASK = 5.0
"""Seconds between two questions to Ray's head."""

PATIENCE = 10.0
"""Seconds in which what waits must be saved."""


class Pulse(Callback):  # type: ignore[misc]  # Ray's classes are untyped here
    """Hears of results, so that the watch knows when the last one came and what is usual."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.last = time.monotonic()
        self._epochs: deque[float] = deque(maxlen=100)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Know the trials."""
        self.trials = trials

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note the time."""
        self.last = time.monotonic()
        self._epochs.append(float(result.get(TIME_THIS_ITER_S, 0.0)))

    @property
    def heard(self) -> bool:
        """Whether a result has come."""
        return bool(self._epochs)

    @property
    def epoch(self) -> float | None:
        """Seconds of an epoch, the median of the last hundred."""
        return statistics.median(self._epochs) if self._epochs else None

    @property
    def running(self) -> int:
        """How many trials run."""
        return sum(trial.status == Trial.RUNNING for trial in list(self.trials))


class Folder:
    """A local folder that is known by what it is, so that it is found where it was moved to.

    Args:
        path: absolute, or a URI, which is not looked at.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._open = -1
        self._known()

    def _known(self) -> bool:
        """Whether there is a folder; it is made while a sweep begins."""
        if self._open < 0 and "://" not in self.path:
            with suppress(OSError):
                self._open = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        return self._open >= 0

    def __del__(self) -> None:
        if self._open >= 0:
            os.close(self._open)

    @property
    def place(self) -> str:
        """Where it is now: its path, another one, or nowhere."""
        if not self._known():
            return self.path
        mine = os.fstat(self._open)
        try:
            if os.path.samestat(mine, Path(self.path).stat()):
                return self.path
        except FileNotFoundError:
            pass
        except OSError:
            return self.path  # the disk is away for now, which is for others to say
        try:
            now = Path(f"/proc/self/fd/{self._open}").readlink()
            return str(now) if os.path.samestat(mine, now.stat()) else ""
        except OSError:
            return ""

    @property
    def problem(self) -> str:
        """That it is not where it was, as words."""
        place = self.place
        if place == self.path:
            return ""
        done = f"moved to {place}" if place else "removed"
        return f"the results' folder {self.path} was {done} while the sweep ran"


class Eyes:
    """Looks at a sweep; see :class:`~snas_tune.sweep.watch.Sight`.

    Args:
        folder: of the results.
        pulse: of the trials.
    """

    def __init__(self, folder: Folder, pulse: Pulse) -> None:
        self.folder, self.pulse = folder, pulse
        self._id: str | None = None
        self._machines: int | None = None
        self._here = True
        self._answers = self._seen = 0
        self._silent, self._looked = 0.0, time.monotonic()
        self._closed = threading.Event()
        self._asking = threading.Thread(target=self._ask, name="sweep-watch-ask", daemon=True)
        self._asking.start()

    def __call__(self) -> Sight:
        now = time.monotonic()
        # A time in which this process did not run, either, says nothing of Ray.
        self._silent += min(now - self._looked, 2 * EVERY)
        self._looked = now
        if self._answers != self._seen:
            self._seen, self._silent = self._answers, 0.0
        return Sight(
            dead=self._dead(),
            silent=self._silent,
            machines=self._machines,
            here=self._here,
            folder=self.folder.problem,
            quiet=now - self.pulse.last,
            epoch=self.pulse.epoch,
            running=self.pulse.running,
        )

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()
        self._asking.join(timeout=1)

    def _dead(self) -> str:
        node = getattr(ray._private.worker, "_global_node", None)
        found = getattr(node, "all_processes", {})
        return " and ".join(
            f"Ray's {what} process ({name}, pid {info.process.pid})"
            for name, what in PROCESSES.items()
            for info in found.get(name, ())
            if info.process.poll() is not None
        )

    def _ask(self) -> None:
        """Ask Ray's head which machines are alive; only this thread waits for the answer."""
        while not self._closed.is_set():
            if not ray.is_initialized():
                self._answers += 1  # there is nobody to answer yet
            else:
                with suppress(Exception):  # whatever Ray says, it is no answer
                    self._id = self._id or _own_node()
                    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
                    self._machines = len(alive)
                    self._here = self._id is None or self._id in alive
                    self._answers += 1
            self._closed.wait(ASK)


def _own_node() -> str | None:
    """Ray's name of the node that this process talks to; none for Ray's client, which has none."""
    if ray.util.client.ray.is_connected():
        return None
    return str(ray.get_runtime_context().get_node_id())


def last_words(
    why: str, path: str, place: str, front: SweepFront | None, trials: list[Trial]
) -> str:
    """Save what waits, count what is saved, and say in one line what happened and how to go on.

    Args:
        why: as :func:`~snas_tune.sweep.watch.cause` says it.
        path: of the experiment.
        place: where its folder is now; empty if it is gone.
        front: of the sweep; None before its first trial.
        trials: all of them.
    """
    saved_in = place or f"{path}-saved"
    if place == path:
        if front is not None:
            _bounded(lambda: front.close(trials))
        then = "go on with the same command and --resume"
    else:
        _bounded(lambda: _copy(front, saved_in))
        then = (
            f"move it back (what lies in {path} now came after) and go on with the same command "
            "and --resume"
            if place
            else "the sweep cannot be resumed without its folder"
        )
    counted = _bounded(lambda: _counted(saved_in))
    return f"{why}; {counted or f'what is saved is in {saved_in}'}; {then}"


def _copy(front: SweepFront | None, folder: str) -> None:
    if front is not None and len(front.table):
        FrontFile(join(folder, FILE_NAME)).add(front.table.to_pylist())


def _counted(path: str) -> str:
    table = FrontFile(join(path, FILE_NAME)).table
    if not len(table):
        return "no child was finished yet"
    trials = len(table.column("trial").unique())
    return f"{len(table)} children of {trials} trials are saved in {path}"


def _bounded(work: Callable[[], Any]) -> Any:
    """What the work gives, if it does so within :data:`PATIENCE`: a storage may be away, too."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except (ValueError, *STORAGE_ERRORS):
            found.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return found[0] if found else None


class SweepWatch(Pulse):
    """The watch over a sweep, as a callback of Tune.

    ``run_sweep`` holds it over the whole run with :meth:`over_all`. Under a ``tune.Tuner`` it
    begins by itself, and :class:`~snas_tune.sweep.watch.Freed` leaves ``fit``.

    Args:
        path: of the experiment.
        front: of the sweep, as soon as there is one.
        stuck: see :class:`~snas_tune.sweep.watch.Watch`.
    """

    def __init__(
        self, path: str, front: SweepFront | None = None, stuck: Callable[[str], None] = say
    ) -> None:
        super().__init__()
        self.front = front
        self._path, self._stuck = path, stuck
        self._watch: Watch | None = None

    def setup(self, **info: Any) -> None:
        """Begin under a ``tune.Tuner``, to which nothing of ours comes back."""
        if self._watch is None:
            self.last = time.monotonic()
            eyes = Eyes(Folder(self._path), self)
            self._watch = self._made(eyes, alone=lambda thread: not _runs_tune(thread))
            self._watch.__enter__()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """End, if nobody else does."""
        if self._watch is not None and self._watch.alone is not None:
            self._watch.close()
            self._watch = None

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(SweepWatch(self._path, self.front, self._stuck)))

    @contextmanager
    def over_all(self) -> Iterator[None]:
        """Watch what runs inside.

        Raises:
            SweepLost: the sweep cannot go on.
        """
        self.last = time.monotonic()
        eyes = Eyes(Folder(self._path), self)
        self._watch = self._made(eyes)
        try:
            with self._watch:
                yield
        finally:
            eyes.close()

    def _made(self, eyes: Eyes, alone: Callable[[int], bool] | None = None) -> Watch:
        def words(why: str) -> str:
            return last_words(why, self._path, eyes.folder.place, self.front, self.trials)

        return Watch(eyes, words, self._stuck, alone=alone)


def _runs_tune(thread: int) -> bool:
    """Whether a thread is somewhere inside Tune's loop."""
    frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_code is not tune.run.__code__:
        frame = frame.f_back
    return frame is not None
