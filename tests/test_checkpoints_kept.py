"""The checkpoints that a sweep keeps, and the disk that it takes: trials that look like Tune's."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.fs
import pytest
from conftest import TINY
from front_points import row

from snas_tune.config import SearchConfig
from snas_tune.front import FrontFile, ParetoFront, nondominated
from snas_tune.results import EPOCH
from snas_tune.search.checkpoint import save_search
from snas_tune.search.search import Search
from snas_tune.sweep import SweepSettings
from snas_tune.sweep.callbacks import checkpoints
from snas_tune.sweep.callbacks.checkpoints import FrontMembers, KeptCheckpoints
from snas_tune.sweep.callbacks.front import SweepFront
from snas_tune.sweep.callbacks.trials import sweep_trial
from snas_tune.sweep.disk import HELD, checkpoint_bytes, disk_line, disk_need

STORE = pyarrow.fs.LocalFileSystem()


class FakeTrial(SimpleNamespace):
    """What the keeper of checkpoints asks of a trial."""

    __hash__ = object.__hash__

    def is_finished(self):
        return self.status in ("TERMINATED", "ERROR")

    @property
    def latest_checkpoint_result(self):
        return self.run_metadata.checkpoint_manager._latest_checkpoint_result


class Manager(SimpleNamespace):
    """Tune's, which keeps all."""

    @property
    def best_checkpoint_results(self):
        return self._checkpoint_results


def a_trial(root: Path, number: int, epochs: list[int]) -> FakeTrial:
    """A trial as Tune restores it, with the checkpoints of some epochs."""
    config = {**SearchConfig(**TINY).to_dict(), "penalty_strength": 0.5 + number}
    storage = SimpleNamespace(experiment_fs_path=str(root), storage_filesystem=STORE)
    manager = Manager(_checkpoint_results=[], _latest_checkpoint_result=None)
    metadata = SimpleNamespace(checkpoint_manager=manager)
    trial = FakeTrial(
        config=config, storage=storage, status="RUNNING", last_result=None, run_metadata=metadata
    )
    for epoch in epochs:
        know(trial, epoch)
    return trial


def name_of(trial: FakeTrial) -> str:
    return sweep_trial(trial).name


def place(trial: FakeTrial, epoch: int) -> Path:
    root = Path(trial.storage.experiment_fs_path)
    return root / name_of(trial) / f"checkpoint_{epoch - 1:06d}"


def know(trial: FakeTrial, epoch: int) -> None:
    """As Tune registers a checkpoint."""
    checkpoint = SimpleNamespace(path=str(place(trial, epoch)), filesystem=STORE)
    saved = SimpleNamespace(metrics={"epoch": epoch}, checkpoint=checkpoint)
    manager = trial.run_metadata.checkpoint_manager
    manager._checkpoint_results = [*manager._checkpoint_results, saved]
    manager._latest_checkpoint_result = saved


class Sweep:
    """A sweep whose driver may die at any moment, and whose storage shows it a little later."""

    def __init__(self, root: Path, seed: int, trials: int = 4, epochs: int = 8) -> None:
        self.root, self.epochs, self.random = root, epochs, np.random.default_rng(seed)
        self.results = {
            (number, epoch): (int(self.random.integers(1, 8)) / 8, int(self.random.integers(1, 8)))
            for number in range(trials)
            for epoch in range(1, epochs + 1)
        }
        self.stored = dict.fromkeys(range(trials), (0, [], False))
        """Tune's state in the storage: each trial's epoch, checkpoints and whether it has ended."""
        self.copies: list[dict] = []
        self.saves = 0
        root.mkdir()
        self.start()

    def start(self) -> None:
        """A driver goes on with what the storage has."""
        self.front = SweepFront()
        self.kept = KeptCheckpoints(self.front)
        self.trials, self.copies = [], []
        for number, (epoch, known, ended) in self.stored.items():
            trial = a_trial(self.root, number, known)
            trial.last_result = {"epoch": epoch, "done": ended}
            trial.status = "TERMINATED" if ended else "RUNNING"
            self.trials.append(trial)
        for trial in self.trials:
            newest = trial.latest_checkpoint_result
            if newest is not None and not trial.is_finished():
                assert Path(newest.checkpoint.path).is_dir()  # a resume finds what it needs
                assert newest.metrics["epoch"] == trial.last_result["epoch"]
        self.kept.begin(self.trials)

    def epoch(self, number: int) -> None:
        """A trial reports, saves itself, and perhaps ends."""
        trial, epoch = self.trials[number], self.trials[number].last_result["epoch"] + 1
        accuracy, flops = self.results[number, epoch]
        values = {"checkpoint": None, "trial": name_of(trial), "epoch": epoch}
        child = row(accuracy, flops, **values)
        self.front.add(trial, child, 10.0)
        self.kept.add(trial, child)
        self.check()
        trial.last_result = {"epoch": epoch, "done": epoch == self.epochs}
        place(trial, epoch).mkdir(parents=True, exist_ok=True)
        know(trial, epoch)
        self.kept.saved(trial)
        self.front.name_checkpoints(name_of(trial), checkpoints.kept_checkpoints(trial))
        self.check()
        if epoch == self.epochs:
            self.front.end_trial(trial, name_of(trial))
            self.kept.end_trial(trial)
            trial.status = "TERMINATED"
        self.check()

    def save(self) -> None:
        """Tune saves its state here, and the copy of an earlier save arrives in the storage."""
        state = {}
        for number, trial in enumerate(self.trials):
            results = trial.run_metadata.checkpoint_manager._checkpoint_results
            known = [each.metrics["epoch"] for each in results]
            state[number] = (trial.last_result["epoch"], known, trial.is_finished())
        self.kept.state_saved(self.trials)
        self.copies.append(state)
        if self.random.random() < 0.7:
            self.arrive()

    def arrive(self) -> None:
        if self.copies:
            self.stored, self.copies = self.copies[-1], []
            self.saves += 1
            (self.root / f"experiment_state-{self.saves:06d}.json").write_text("{}")

    def check(self) -> None:
        """What must hold whenever the driver dies."""
        for line in FrontFile(str(self.root / "front.parquet")).table.to_pylist():
            assert not line["checkpoint"] or (self.root / line["checkpoint"]).is_dir(), line
        for number, (_, known, ended) in self.stored.items():
            if known and not ended:
                assert place(self.trials[number], known[-1]).is_dir()

    def run(self) -> None:
        while open_ones := [n for n, trial in enumerate(self.trials) if not trial.is_finished()]:
            what = self.random.random()
            if what < 0.75:
                self.epoch(int(self.random.choice(open_ones[:2])))
            elif what < 0.95:
                self.save()
            else:
                self.start()

    def end(self) -> None:
        """As Tune ends: a last save, which is waited for."""
        self.save()
        self.arrive()
        self.kept.close(saved=True)
        self.front.close(self.trials)
        self.kept.delete()


@pytest.mark.parametrize("seed", range(6))
def test_at_the_end_the_front_has_its_checkpoints_and_nothing_else_has_whatever_crashes(
    seed, tmp_path
):
    sweep = Sweep(tmp_path / "sweep", seed)
    sweep.run()
    sweep.end()
    front = ParetoFront.read(tmp_path / "sweep")
    members = {(each["trial"], each[EPOCH]) for each in front.front}
    named = {(r["trial"], r[EPOCH]): r["checkpoint"] for r in front.rows if r["checkpoint"]}
    assert set(named) == members
    left = {str(path.relative_to(sweep.root)) for path in sweep.root.glob("*/checkpoint_*")}
    assert left == set(named.values())


def test_a_checkpoint_stays_while_the_row_that_names_it_cannot_be_written(tmp_path, monkeypatch):
    sweep = Sweep(tmp_path / "sweep", 0, trials=1, epochs=25)
    sweep.results = {key: (0.5, 100 + key[1]) for key in sweep.results}  # only the first is on it
    for _ in range(5):
        sweep.epoch(0)

    def full(file, rows):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FrontFile, "append", full)
        for _ in range(12):
            sweep.epoch(0)  # which checks that what the file names is there
            sweep.save()
            sweep.arrive()
        before = len(list(sweep.root.glob("*/checkpoint_*")))
    for _ in range(2):
        sweep.epoch(0)
    assert len(list(sweep.root.glob("*/checkpoint_*"))) < before - 5


def test_while_it_runs_a_trial_has_no_more_checkpoints_than_the_estimate_says(tmp_path):
    sweep = Sweep(tmp_path / "sweep", 0, trials=1, epochs=25)
    sweep.results = {key: (0.5, 100 + key[1]) for key in sweep.results}  # only the first is on it
    most = 0
    for _ in range(25):
        sweep.epoch(0)
        sweep.save()
        sweep.arrive()
        most = max(most, len(list(sweep.root.glob("*/checkpoint_*"))))
    assert 3 <= most <= HELD + 1  # and the front's


def test_members_of_the_front_are_those_of_brute_force():
    random = np.random.default_rng(0)
    for _ in range(20):
        members, points = FrontMembers(), []
        for epoch in range(40):
            accuracy, flops = random.integers(0, 9) / 9, int(random.integers(1, 9))
            points.append((float("nan") if epoch % 7 == 3 else accuracy, flops))
            before = set(members.keys)
            left = members.add(row(*points[-1], epoch=epoch))
            on = np.flatnonzero(nondominated(points, ("max", "min")))
            front = {("a", epoch) for epoch in on.tolist()}
            assert members.keys == front
            assert left == before - front


def settings(**changes) -> SweepSettings:
    return SweepSettings(**{"name": "x", "trials": 10, "concurrent": 2, **changes})


@pytest.mark.parametrize(
    ("keep", "every", "count"),
    [
        ("all", 1, 10 * 50),
        ("all", 4, 10 * 13),
        (3, 1, 10 * 4),
        ("front", 1, 2 * HELD + 20),
        ("front", 10, 2 * 5 + 20),
    ],
)
def test_the_checkpoints_of_a_sweep_are_reckoned(keep, every, count):
    config = SearchConfig(**{**TINY, "epochs": 50})
    need = disk_need(settings(keep_checkpoints=keep, checkpoint_every=every), config, 1000)
    assert need.trials * need.each + need.front == count
    assert need.total == 1000 * count + need.other


def test_the_size_of_a_checkpoint_is_known_before_the_first_step(tmp_path):
    search = Search(SearchConfig(**TINY))
    reckoned = checkpoint_bytes(search)
    search.take_step()
    written = save_search(search, tmp_path).stat().st_size
    assert written <= 1.1 * reckoned
    assert reckoned <= 1.2 * written


def test_a_disk_that_is_too_small_is_refused_and_what_is_there_counts(tmp_path, monkeypatch):
    config = SearchConfig(**TINY)
    need = disk_need(settings(), config, 2**20)
    free = shutil.disk_usage(tmp_path)._replace(free=need.total - 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(ValueError, match=r"^storage path .* must have .* MiB free .*, got ") as say:
        disk_line(need, str(tmp_path))
    assert "\n" not in str(say.value)
    (tmp_path / "earlier").write_bytes(bytes(2000))
    line = disk_line(need, str(tmp_path))
    assert line.startswith(
        f"disk: at most 32.3 MiB in {tmp_path} (2 x 3 checkpoints and up to 20 of"
    )
