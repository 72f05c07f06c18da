"""An experiment's directory in the storage: which names are free, what lies there, who has it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyarrow import fs

from snas_tune.files import first_line, read_json
from snas_tune.front import FILE_NAME, FrontFile
from snas_tune.front.storage import STORAGE_ERRORS, join, read_file, resolve
from snas_tune.sweep.claim import LOCK, OWNER, Claim, Taken, claim
from snas_tune.sweep.experiment import DESCRIPTION, Description
from snas_tune.sweep.lines import say
from snas_tune.sweep.settings import RECIPE, SweepSettings

STATE = re.compile(r"experiment_state-.*\.json")
"""What Tune calls its own saved state there."""

SAVED = re.compile(
    r"(experiment_state|search_gen_state|searcher-state|callback-states|basic-variant-state)-.*"
    r"|tuner\.pkl|trainable\.pkl"
)
"""What Tune calls all that it saves there."""

MOST_BYTES = 1 << 31
"""Most bytes of a saved state that are read."""

VIEWS = ("tensorboard", "scheduler")
"""The directories there that hold nothing without results."""


def claim_experiment(storage: str, name: str, *, resume: bool) -> Claim:
    """Claim an experiment's directory for this process, and check that it can be used.

    Args:
        storage: an absolute path or a URI.
        name: of the experiment.
        resume: whether to go on with one that is there, or to start a new one.

    Raises:
        Taken: another process runs it; or it has results, and ``resume`` is off.
        ValueError: the directory cannot be written or holds a front file that
            cannot be read; or there is nothing to resume.
    """
    path = join(storage, name)
    if resume:
        _check_there(storage, name)
    held = claim(path)
    try:
        FrontFile(join(path, FILE_NAME))
        if not resume:
            _check_free(storage, name)
    except BaseException:
        held.release()
        raise
    return held


def claim_new(storage: str, base: str) -> Claim:
    """Claim the first name that is free of ``base``, ``base-2``, ``base-3``...

    A name is free if no process has it and there are no results under it. Names below one that has
    results are not used again.

    Raises:
        ValueError: the storage cannot be written.
    """
    number = max(_numbers(storage, base, with_results=True), default=0) + 1
    while True:
        try:
            return claim_experiment(storage, _numbered(base, number), resume=False)
        except Taken:
            number += 1


def newest_name(storage: str, base: str) -> str:
    """The last name that :func:`claim_new` gave; ``base`` if none."""
    return _numbered(base, max(_numbers(storage, base, with_results=False), default=1))


def _numbered(base: str, number: int) -> str:
    return base if number == 1 else f"{base}-{number}"


def _numbers(storage: str, base: str, *, with_results: bool) -> list[int]:
    """The numbers of the sweeps of that name: all of them, or those that have results."""
    form = re.compile(rf"{re.escape(base)}(?:-([2-9]|[1-9]\d+))?")
    found = []
    for name in _listing(storage):
        match = form.fullmatch(name)
        contents = Contents.of(join(storage, name)) if match else None
        if match and contents and (contents.results or (contents.described and not with_results)):
            found.append(int(match[1] or 1))
    return found


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in an experiment's directory."""

    described: bool
    """:data:`DESCRIPTION`, written before the first trial starts."""

    states: tuple[str, ...]
    """The files in which Tune saved all trials, the newest first; since the first trial began."""

    rows: bool
    """The front file, since the first result."""

    other: bool
    """Files that are none of these."""

    @staticmethod
    def of(path: str) -> Contents:
        """Those of a directory; it need not be there.

        Raises:
            ValueError: the storage cannot be read.
        """
        names = {*_listing(path)} - {OWNER, LOCK}
        states = tuple(sorted(filter(STATE.fullmatch, names), reverse=True))
        known = {DESCRIPTION, RECIPE, FILE_NAME, *states}
        return Contents(DESCRIPTION in names, states, FILE_NAME in names, bool(names - known))

    @property
    def results(self) -> bool:
        """Whether a trial has begun."""
        return self.rows or bool(self.states)


def _check_there(storage: str, name: str) -> None:
    """Refuse to resume what is no sweep; an empty directory is one that was killed at once."""
    path = join(storage, name)
    found = Contents.of(path)
    store, inside = resolve(path)
    there = store.get_file_info(inside).type == fs.FileType.Directory
    if not there or (found.other and not found.described and not found.results):
        raise ValueError(f"name must be that of a sweep to resume, got {name!r} in {storage}")


def _check_free(storage: str, name: str) -> None:
    """Refuse to start where results are. What a sweep leaves that had none yet is removed."""
    path = join(storage, name)
    found = Contents.of(path)
    if not found.results:
        return
    store, inside = resolve(path)
    below = store.get_file_info(fs.FileSelector(inside, recursive=True))
    if found.rows or any(info.base_name.startswith("checkpoint_") for info in below):
        raise Taken(
            f"name must be a new one, got {name!r}, which {storage} already holds results of: "
            f"choose another, or go on with it (--resume, or resume=True)"
        )
    trials = {info.path.rpartition("/")[0] for info in below if info.base_name == "params.json"}
    for info in store.get_file_info(fs.FileSelector(inside)):
        if info.path in trials or info.base_name in VIEWS:
            store.delete_dir(info.path)
        elif SAVED.fullmatch(info.base_name):
            store.delete_file(info.path)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an experiment that is resumed holds of its earlier run."""

    description: Description | None
    """``None`` of one that was killed before it was described."""

    restores: bool
    """Whether Tune saved the state of its trials."""

    rows: bool
    """Whether it has children."""

    begun: int
    """How many trials have begun."""

    @staticmethod
    def of(path: str) -> Earlier:
        """That of a directory.

        Raises:
            ValueError: its description or its state cannot be read.
        """
        found = Contents.of(path)
        described = found.described or found.results
        return Earlier(
            Description.read(path) if described else None,
            can_restore(path),
            found.rows,
            begun_trials(path),
        )

    def resumed(
        self, space: Mapping[str, Any], settings: SweepSettings, path: str
    ) -> SweepSettings:
        """The settings of the resumed sweep: those asked for, and what it had chosen for itself.

        Raises:
            ValueError: they are of another sweep, or of fewer trials than have begun.
        """
        if settings.trials < self.begun:
            raise ValueError(
                f"trials must be at least {self.begun}, which the sweep to resume has begun, "
                f"got {settings.trials} ({path})"
            )
        if self.description is None:
            return settings
        self.description.check_same(Description.of(space, settings), path)
        concurrent = settings.concurrent or self.description.asked["concurrent"]
        return replace(settings, concurrent=concurrent)

    def beginning(self, name: str, storage: str) -> str | None:
        """The line that says how the sweep begins, where it is not simply gone on with."""
        if self.restores:
            return None
        if not self.rows:
            return f"sweep {name} in {storage} has no results yet: it begins"
        return (
            f"sweep {name} in {storage} has results, but no saved state of its trials: its trials "
            "begin again, and its children stay"
        )


class Damaged(ValueError):  # noqa: N818 - a state of a file
    """What Tune saved is not whole."""


def can_restore(path: str) -> bool:
    """Whether Tune saved the state of the experiment; it does so some seconds after the start.

    A state that is damaged is set aside, so that Tune takes the one before it.

    Raises:
        ValueError: the storage cannot be read, or holds a pipe in the place of what Tune reads.
    """
    store, inside = resolve(path)
    for name in Contents.of(path).states:
        try:
            _trials_of(path, name)
            _check_regular(path)
            return True
        except Damaged:
            aside = _free(f"damaged-{name}", _listing(path))
            store.move(f"{inside}/{name}", f"{inside}/{aside}")
            say(f"the saved state {name} of {path} is damaged: it is now {aside}")
    return False


def _free(name: str, taken: Sequence[str]) -> str:
    """A name that is not taken."""
    numbered = (f"{name}.{i}" if i > 1 else name for i in range(1, len(taken) + 2))
    return next(each for each in numbered if each not in taken)


def _check_regular(path: str) -> None:
    """Refuse pipes where Tune saved something: it would wait for their end."""
    store, inside = resolve(path)
    for name in filter(SAVED.fullmatch, _listing(path)):
        if store.get_file_info(f"{inside}/{name}").type == fs.FileType.Unknown:
            raise ValueError(f"saved state {name} of {path} must be a regular file")


def begun_trials(path: str) -> int:
    """How many trials of an experiment have begun, as far as Tune saved its state.

    Raises:
        ValueError: the newest state cannot be read; :func:`can_restore` sets such a one aside.
    """
    states = Contents.of(path).states
    return len(_trials_of(path, states[0])) if states else 0


def _trials_of(path: str, name: str) -> list[Any]:
    """The trials in a state that Tune saved.

    Raises:
        Damaged: it is none.
        ValueError: the storage cannot be read.
    """
    store, inside = resolve(join(path, name))
    try:
        state = read_json(read_file(store, inside, MOST_BYTES))
    except STORAGE_ERRORS as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise Damaged(f"saved state {name} of {path} cannot be read: {error}") from error
    trials = state.get("trial_data") if isinstance(state, dict) else None
    if not isinstance(trials, list) or not all(map(_is_trial, trials)):
        raise Damaged(f"saved state {name} of {path} must hold the data of trials")
    return trials


def _is_trial(saved: Any) -> bool:
    """Whether it is a pair of texts, as Tune saves a trial: its state, and what it reported."""
    return isinstance(saved, list) and len(saved) == 2 and all(isinstance(x, str) for x in saved)


def _listing(path: str) -> list[str]:
    """The names in a directory; none if it is not there."""
    store, inside = resolve(path)
    try:
        found = store.get_file_info(fs.FileSelector(inside, allow_not_found=True))
    except STORAGE_ERRORS as error:
        raise _unreadable(path, error) from error
    return [info.base_name for info in found]


def _unreadable(path: str, error: Exception) -> ValueError:
    return ValueError(f"storage path {path} cannot be read: {first_line(error)}")
