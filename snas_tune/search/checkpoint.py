"""Checkpoints: a search in one file, and a child network out of it."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Annotated, Any

import torch

from snas_tune.arguments import checked
from snas_tune.checks import COUNT_OR_ZERO, FLAG, check_value, is_instance
from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.files import first_line, write_whole
from snas_tune.search.images import check_same_images
from snas_tune.search.search import Search
from snas_tune.search.state import FORMAT, check_state, check_tensors, upgraded
from snas_tune.search.stored import open_stored
from snas_tune.text_checks import A_FOLDER, PATH

FILE = "search.pt"
"""Name of the file in a checkpoint's directory."""

_OF_OTHER_STATES = (RuntimeError, KeyError, TypeError, AttributeError, IndexError)
"""What torch and Python raise for tensors and values that fit nothing."""

KEYS = {
    1: ("config", "frame", "step", "supernet", "momenta", "logits_optimiser", "scaler"),
    2: ("config", "shape", "step", "implementation", "supernet", "method"),
}
"""What a saved state of each format has besides it."""

LATER = ("images", "normalise", "statistics")
"""What states of format 2 have, too, unless they are old: the record of the images, and with it the
normalisation and the child's batch-norm statistics, so that a child needs no images."""


@checked
def save_search(
    search: Annotated[Search, is_instance(Search)], directory: Annotated[str | Path, PATH, A_FOLDER]
) -> Path:
    """Write the whole state of a search into a directory, replacing the file in one move."""
    path, content = Path(directory) / FILE, io.BytesIO()
    # torch's own writer ends the process, or gives an error without a reason, on a full disk.
    torch.save(search.state_dict(), content)
    write_whole(path, content.getvalue())
    return path


def read_state(directory: str | Path) -> dict[str, Any]:
    """The saved state in a checkpoint's directory, on the CPU; only plain data is unpickled.

    Raises:
        ValueError: there is no readable checkpoint, or it is of another format.
    """
    path = Path(directory) / FILE
    try:
        with open_stored(path) as stream:
            state = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises whatever it trips over
        raise ValueError(f"checkpoint {path} cannot be read: {_reason(error)}") from error
    if not isinstance(state, dict) or not isinstance(state.get("config"), dict):
        raise ValueError(f"checkpoint {path} must hold a search, got {type(state).__name__}")
    version = state.get("format")
    # Before its settings, of which a newer one may have more.
    if type(version) is not int or version not in KEYS:
        raise ValueError(f"checkpoint {path} must have format {FORMAT}, got {version!r}")
    lacks = [name for name in KEYS[version] if name not in state]
    if lacks:
        raise ValueError(f"checkpoint {path} must hold a whole search, lacks {', '.join(lacks)}")
    check_value(f"step of checkpoint {path}", state["step"], COUNT_OR_ZERO)
    try:
        return state if version == FORMAT else upgraded(state)
    except _OF_OTHER_STATES as error:
        raise _unfit(directory, error) from error


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in one line."""
    if isinstance(error, pickle.UnpicklingError):  # torch's advice is to trust the file
        return "it holds something else than plain data"
    if type(error) is ValueError or isinstance(error, OSError | RuntimeError | EOFError):
        return first_line(error)
    return f"it is no file of torch.save ({type(error).__name__})"


@checked
def load_search(
    directory: Annotated[str | Path, PATH],
    images: Annotated[ImageSet | None, is_instance(ImageSet)] = None,
    *,
    same_images: Annotated[bool, FLAG] = True,
    **changes: object,
) -> Search:
    """The search that a checkpoint holds, ready to go on or to give its child.

    Args:
        directory: of the checkpoint.
        images: its training images; loaded as its config says if not given.
        same_images: refuse other images of the same classes.
        changes: settings that may differ from the saved ones, such as ``device`` or ``data_root``.

    Raises:
        ValueError: no readable checkpoint, or of another search space, or of other images.
    """
    state = read_state(directory)
    config = SearchConfig.from_dict({**state["config"], **changes})
    search = Search(config, images, state["implementation"])
    restore(search, state, directory, same_images=same_images)
    return search


def restore(
    search: Search, state: dict[str, Any], directory: str | Path, *, same_images: bool = True
) -> None:
    """Let a search go on from the state in a checkpoint's directory.

    Args:
        search: of the same settings.
        state: of :func:`read_state`.
        directory: of the checkpoint, for messages.
        same_images: refuse other images than those of the state.

    Raises:
        ValueError: the state is of another search, or of none.
    """
    # First the classes: with others the shapes differ as well, which says less.
    check_same_images(state.get("images"), search.images, same=False)
    try:
        _check_tensors(search, state)
        search.load_state_dict(state, same_images=same_images)
    except _OF_OTHER_STATES as error:
        raise _unfit(directory, error) from error


def _check_tensors(search: Search, state: dict[str, Any]) -> None:
    """Refuse a state whose tensors are not those of a search: torch would stretch smaller ones.

    Raises:
        RuntimeError: one is missing, or has another shape or kind, or a logit is no number.
    """
    check_state(state, search.config, search.space)
    weights, method = dict(search.supernet.named_tensors()), state["method"]
    logits = {k: v for k, v in search.method.state_dict().items() if isinstance(v, torch.Tensor)}
    momenta = {name: weights[name] for name in method.get("momenta", ())}
    parts = ((weights, state["supernet"]), (logits, method), (momenta, method.get("momenta")))
    for mine, theirs in parts:
        check_tensors(mine, theirs)
    for name in logits:
        others = int((~method[name].isfinite()).sum())
        if others:
            raise RuntimeError(f"{name} must be finite numbers, got {others} other")


def _unfit(directory: str | Path, error: Exception) -> ValueError:
    """The error of a state that fits no search, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    reason = f"{type(error).__name__}: {' '.join(filter(None, lines))[:200]}"
    return ValueError(f"checkpoint {Path(directory) / FILE} must hold a whole search ({reason})")
