"""Which checkpoints of a running sweep are kept: those of the front, and what a resume needs.

Tune by itself keeps the newest ones of each trial, however good their children are. Here all that
Tune writes stays at first, and the driver deletes what nobody needs:

- of a trial that may go on, the two newest ones are kept, as a crash may cut off the last one;
- and each one with which Tune's saved state, as a resume would read it, lets a trial go on. Tune
  saves its state some seconds apart and copies it to the storage in the background;
- of a trial that has ended, none, once that saved state knows of its end;
- and the one of each child on the front.

A row that names a checkpoint is written anew before the checkpoint is deleted. A crash between the
two leaves a checkpoint that no row names, which the next resume deletes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from pyarrow import fs
from ray.tune.experiment import Trial
from ray.tune.result import DONE

from snas_tune.front.running import joined
from snas_tune.front.storage import STORAGE_ERRORS
from snas_tune.results import EPOCH, OBJECTIVES
from snas_tune.sweep.callbacks.front import SweepFront
from snas_tune.sweep.callbacks.trials import sweep_trial

NEWEST = 2
"""Checkpoints that are kept of a trial that may go on."""

SAVES = 3
"""Changes of the stored state after which it is one that Tune began to save after now: the first
may be of a save before, the second of one that was being copied."""

PREFIX = "checkpoint_"
"""How Tune calls the directories of checkpoints."""

STATE = "experiment_state-"
"""How Tune calls the files of its saved state."""

Key = tuple[str, int]
"""A trial's name and an epoch."""

Point = tuple[float, ...]


class FrontMembers:
    """The children on the front: rows by their objectives, as they come."""

    def __init__(self) -> None:
        self._modes = [mode for _, mode in OBJECTIVES]
        self._members: dict[Point, set[Key]] = {}
        self._front = np.empty((0, len(self._modes)))
        self.keys: set[Key] = set()
        """Of all children on the front, equal ones included."""

    def add(self, row: Mapping[str, Any]) -> set[Key]:
        """Take a child; those that leave the front for it."""
        key = row["trial"], row[EPOCH]
        point = tuple(float(row[name]) for name, _ in OBJECTIVES)
        if point not in self._members:
            front = joined(self._front, point, self._modes)
            if front is None:
                return set()
            self._front = front
            self._members[point] = set()
        self._members[point].add(key)
        self.keys.add(key)
        return self._leave()

    def _leave(self) -> set[Key]:
        on = set(map(tuple, self._front.tolist()))
        left: set[Key] = set()
        for point in [each for each in self._members if each not in on]:
            left |= self._members.pop(point)
        self.keys -= left
        return left


class StoredState:
    """How often the state of the trials that lies in the storage has changed.

    Args:
        store: the storage.
        root: the experiment's directory there.
    """

    def __init__(self, store: fs.FileSystem, root: str) -> None:
        self._store, self._root = store, root
        self._last = self._look()
        self.changes = 0

    def _look(self) -> Any:
        """What changes with the newest state file: its name and the time of its last change."""
        with suppress(*STORAGE_ERRORS):
            found = self._store.get_file_info(fs.FileSelector(self._root))
            states = [each for each in found if each.base_name.startswith(STATE)]
            if states:
                newest = max(states, key=lambda each: str(each.base_name))
                return newest.base_name, newest.mtime_ns
        return None

    def look(self) -> None:
        """Count a change since the last look."""
        now = self._look()
        if now != self._last:
            self._last, self.changes = now, self.changes + 1


class KeptCheckpoints:
    """Deletes the checkpoints of a sweep that nobody needs, see the text of this module.

    Args:
        front: writes the rows that name them.
        changed: called with a trial that has fewer checkpoints than before.
    """

    def __init__(
        self, front: SweepFront, changed: Callable[[Trial], None] = lambda trial: None
    ) -> None:
        self._front, self._changed = front, changed
        self._members = FrontMembers()
        self._state: StoredState | None = None
        self._trials: dict[str, Trial] = {}
        """The trials that have a checkpoint, by name."""
        self._strays: dict[Key, str] = {}
        """Checkpoints of the front's children of an earlier run, as far as no trial has them."""
        self._marks: deque[tuple[int, dict[str, str]]] = deque()
        """At each save: the changes of the stored state so far, and each trial's newest path."""
        self._ending: dict[str, int] = {}
        """The changes of the stored state when a trial ended, by its name."""
        self._ended: set[str] = set()
        """The trials of whose end the stored state knows."""
        self._doomed: list[tuple[fs.FileSystem, str]] = []
        """What is deleted as soon as no row on disk names it."""

    def begin(self, trials: list[Trial]) -> None:
        """Take over a sweep, and delete what a crash of an earlier run of it left behind."""
        first = trials[0]
        store, root = first.storage.storage_filesystem, first.storage.experiment_fs_path
        self._state = StoredState(store, root)
        there = set(_checkpoints_in(store, root))
        for trial in trials:
            self._restored(trial, there)
        self._mark(trials)
        rows = self._front.read(first)
        for row in rows.front:
            self._members.add(row)
        for trial in trials:
            self._trim(trial)
        known = {path for name in self._trials for path in self._paths(name)}
        named = {
            (row["trial"], row[EPOCH]): f"{root}/{row['checkpoint']}"
            for row in rows.rows
            if row["checkpoint"]
        }
        self._strays = {
            key: path
            for key, path in named.items()
            if key in self._members.keys and path in there - known
        }
        left = {*self._strays.values(), *known}
        self._front.unname(first, [key for key, path in named.items() if path not in left])
        self._doomed += [(store, path) for path in sorted(there - left)]
        self.delete()

    def _restored(self, trial: Trial, there: set[str]) -> None:
        """Forget what a trial knows of checkpoints that are gone."""
        manager = trial.run_metadata.checkpoint_manager
        results = [each for each in manager._checkpoint_results if each.checkpoint.path in there]
        manager._checkpoint_results = results
        newest = manager._latest_checkpoint_result
        if newest is not None and newest.checkpoint.path not in there:
            manager._latest_checkpoint_result = results[-1] if results else None
        name = sweep_trial(trial).name
        self._trials[name] = trial
        if _has_ended(trial):
            self._ended.add(name)

    def add(self, trial: Trial, row: Mapping[str, Any]) -> None:
        """Take a child of a trial, whose row the front has."""
        self.delete()
        left = self._members.add(row)
        for name in {name for name, _ in left if name in self._trials}:
            self._trim(self._trials[name])
        strays = [key for key in left if key in self._strays]
        self._front.unname(trial, strays)
        store = trial.storage.storage_filesystem
        self._doomed += [(store, self._strays.pop(key)) for key in strays]

    def saved(self, trial: Trial) -> None:
        """Take a checkpoint of a trial, which lies in the storage."""
        name = sweep_trial(trial).name
        self._trials[name] = trial
        for epoch in kept_checkpoints(trial):
            self._strays.pop((name, epoch), None)
        self._trim(trial)

    def end_trial(self, trial: Trial) -> None:
        """Take the end of a trial; one that was interrupted or failed may go on."""
        if _has_ended(trial) and self._state is not None:
            self._ending[sweep_trial(trial).name] = self._state.changes
        self.delete()

    def state_saved(self, trials: Iterable[Trial]) -> None:
        """Tune has saved the state of all trials here, and will copy it to the storage."""
        if self._state is None:
            return
        self._state.look()
        self._mark(trials)
        while self._marks[0][0] + SAVES <= self._state.changes:
            self._marks.popleft()
        self._end([n for n, at in self._ending.items() if at + SAVES <= self._state.changes])

    def _mark(self, trials: Iterable[Trial]) -> None:
        """Note with which checkpoint the state that is saved now lets each trial go on."""
        newest = {
            sweep_trial(trial).name: result.checkpoint.path
            for trial in trials
            if not trial.is_finished() and (result := trial.latest_checkpoint_result)
        }
        if self._state is not None:
            self._marks.append((self._state.changes, newest))

    def _end(self, names: list[str]) -> None:
        """Take it that the stored state knows of the end of trials."""
        for name in names:
            del self._ending[name]
            self._ended.add(name)
            if name in self._trials:
                self._trim(self._trials[name])

    def close(self, *, saved: bool) -> None:
        """Let go of all that a sweep which ends here does not need.

        Args:
            saved: Tune saved the state of all trials just now, and waited for its copy.
        """
        if self._state is None:
            return
        before = self._state.changes
        self._state.look()
        if saved and self._state.changes > before:
            self._marks.clear()
            self._end(list(self._ending))
            for trial in self._trials.values():
                self._trim(trial)

    def _trim(self, trial: Trial) -> None:
        """Let go of the checkpoints of a trial that nobody needs."""
        name = sweep_trial(trial).name
        manager = trial.run_metadata.checkpoint_manager
        results = manager._checkpoint_results
        needed = set(self._needed(name, [each.checkpoint.path for each in results]))
        kept: list[Any] = []
        gone: list[Any] = []
        for each in results:
            on = (name, each.metrics.get(EPOCH)) in self._members.keys
            (kept if on or each.checkpoint.path in needed else gone).append(each)
        if gone:
            manager._checkpoint_results = kept
            if manager._latest_checkpoint_result in gone:
                manager._latest_checkpoint_result = None
            self._front.unname(trial, [(name, each.metrics.get(EPOCH, 0)) for each in gone])
            self._doomed += [(each.checkpoint.filesystem, each.checkpoint.path) for each in gone]
            self._changed(trial)

    def _needed(self, name: str, paths: list[str]) -> Iterator[str]:
        """What a resume may need of a trial's checkpoints, the oldest being the first."""
        if name not in self._ended:
            yield from paths[-NEWEST:]
            yield from (newest[name] for _, newest in self._marks if name in newest)

    def _paths(self, name: str) -> list[str]:
        manager = self._trials[name].run_metadata.checkpoint_manager
        return [each.checkpoint.path for each in manager._checkpoint_results]

    def delete(self) -> None:
        """Delete what no row on disk names any more."""
        if self._front.waits:
            return
        doomed, self._doomed = self._doomed, []
        for store, path in doomed:
            with suppress(*STORAGE_ERRORS):  # it is gone, or the next resume deletes it
                store.delete_dir(path)


def _has_ended(trial: Trial) -> bool:
    """Whether a trial has no more epochs to run: it reached its end, or was stopped."""
    return trial.status != Trial.ERROR and bool((trial.last_result or {}).get(DONE))


def kept_checkpoints(trial: Trial) -> dict[int, str]:
    """The checkpoints of a trial that are still kept: paths in the experiment, by epoch."""
    root = f"{trial.storage.experiment_fs_path}/"
    return {
        int(saved.metrics[EPOCH]): saved.checkpoint.path.removeprefix(root)
        for saved in trial.run_metadata.checkpoint_manager.best_checkpoint_results
        if EPOCH in saved.metrics
    }


def _checkpoints_in(store: fs.FileSystem, root: str) -> Iterator[str]:
    """The paths of all checkpoints of an experiment."""
    for directory in store.get_file_info(fs.FileSelector(root)):
        if directory.type == fs.FileType.Directory:
            for each in store.get_file_info(fs.FileSelector(directory.path)):
                if each.base_name.startswith(PREFIX):
                    yield each.path
