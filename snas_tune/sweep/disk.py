"""How much disk a sweep takes at most, and a disk that has less is refused before any trial."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from pyarrow import fs

from snas_tune.config import SearchConfig
from snas_tune.front.storage import resolve
from snas_tune.search.search import Search
from snas_tune.sweep.callbacks.checkpoints import NEWEST, SAVES
from snas_tune.sweep.settings import ALL, FRONT, SweepSettings

HELD = NEWEST + SAVES + 2
"""Most checkpoints of a trial that runs: the newest ones, those of Tune's saved states, one that is
being written, and one whose row is being written before it goes."""

MEMBERS = 2
"""Children of each trial for which the front has room in the estimate, and of a sweep of few trials
:data:`FEWEST` in all."""

FEWEST = 16

HEADER = 128
"""Bytes of a tensor in a checkpoint besides its numbers."""

TRIAL = 100_000
"""Bytes of a trial besides: its settings, its place in Tune's state, the head of its event file."""

EPOCH = 20_000
"""Bytes of an epoch of a trial: its row, its lines in Tune's files, its scalars and architecture in
the event file."""

PICTURES = 5_000_000
"""Bytes of the front's pictures in the event files."""


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Bytes that a sweep takes at most."""

    checkpoint: int
    """One checkpoint."""

    trials: int
    """Trials that have checkpoints at the same time, besides those of the front."""

    each: int
    """Checkpoints of each of them."""

    front: int
    """Checkpoints of the front's children."""

    other: int
    """All but checkpoints."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.checkpoint * (self.trials * self.each + self.front) + self.other


def checkpoint_bytes(search: Search) -> int:
    """The size of a checkpoint of a search that has not begun, and so has no momenta yet."""
    stream = io.BytesIO()
    torch.save(search.state_dict(), stream)
    tensors = [tensor for _, tensor in search.supernet.named_tensors()]
    return stream.tell() + sum(tensor.nbytes + HEADER for tensor in tensors)


def disk_need(settings: SweepSettings, config: SearchConfig, checkpoint: int) -> DiskNeed:
    """What a sweep takes at most.

    Args:
        settings: of the sweep, ``concurrent`` among them.
        config: of its searches.
        checkpoint: bytes of one checkpoint.
    """
    trials, keep = settings.trials, settings.keep_checkpoints
    written = -(-config.epochs // settings.checkpoint_every)
    running, each, front = trials, written, 0
    if keep == FRONT:
        running, each = min(trials, settings.concurrent or trials), min(written, HELD)
        front = min(max(FEWEST, MEMBERS * trials), trials * written - running * each)
    elif keep != ALL:
        each = min(written, int(keep) + 1)
    other = trials * (TRIAL + config.epochs * EPOCH) + PICTURES
    return DiskNeed(checkpoint, running, each, front, other)


def disk_line(need: DiskNeed, path: str) -> str:
    """What a sweep takes at most, and how much there is.

    Args:
        need: from :func:`disk_need`.
        path: the experiment's directory, local or a URI; what is in it counts as had.

    Raises:
        ValueError: a local disk has less.
    """
    front = f" and up to {need.front} of the front" if need.front else ""
    size = f"{need.trials} x {need.each} checkpoints{front} of {_bytes(need.checkpoint)}"
    line = f"disk: at most {_bytes(need.total)} in {path} ({size}, {_bytes(need.other)} besides"
    store, inside = resolve(path)
    if not isinstance(store, fs.LocalFileSystem):
        return f"{line})"
    free = shutil.disk_usage(inside).free
    missing = need.total - _size(Path(inside))
    if missing > free:
        raise ValueError(
            f"storage path {path} must have {_bytes(missing)} free for this sweep ({size}), got "
            f"{_bytes(free)}: keep fewer checkpoints, or store it elsewhere"
        )
    return f"{line}; {_bytes(free)} free)"


def _size(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _bytes(count: int) -> str:
    """A number of bytes, as ``15.9 MiB``."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value >= 100 or unit == "bytes" else f"{value:.1f} {unit}"
