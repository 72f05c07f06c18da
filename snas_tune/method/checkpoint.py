"""Checkpoints: a search in one file, and a child network out of it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.method.search import Search

FILE = "search.pt"
"""Name of the file in a checkpoint's directory."""


def save_search(search: Search, directory: str | Path) -> Path:
    """Write the whole state of a search into a directory, replacing the file in one move."""
    path = Path(directory) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{FILE}.{os.getpid()}.partial")
    torch.save(search.state_dict(), partial)
    partial.replace(path)
    return path


def read_state(directory: str | Path) -> dict[str, Any]:
    """The saved state in a checkpoint's directory, on the CPU; only plain data is unpickled.

    Raises:
        ValueError: there is no readable checkpoint.
    """
    path = Path(directory) / FILE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(f"checkpoint {path} cannot be read: {reason}") from error
    if not isinstance(state, dict) or "config" not in state:
        raise ValueError(f"checkpoint {path} must hold a search, got {type(state).__name__}")
    return state


def load_search(directory: str | Path, images: ImageSet | None = None, **changes: object) -> Search:
    """The search that a checkpoint holds, ready to go on or to give its child.

    Args:
        directory: of the checkpoint.
        images: its training images; loaded as its config says if not given.
        changes: settings that may differ from the saved ones, such as ``device`` or ``data_root``.

    Raises:
        ValueError: no readable checkpoint, or of another search space.
    """
    state = read_state(directory)
    config = SearchConfig.from_dict({**state["config"], **changes})
    search = Search(config, images)
    search.load_state_dict(state)
    return search
