"""Autotuning: the implementation in which a supernet is fastest on a machine, measured once.

The implementations of a space are one function, but they round differently, so a search must stay
in its own: a table keeps the measurements, and a checkpoint its implementation.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch

from snas_tune.config import SearchConfig
from snas_tune.files import locked, read_bounded, read_json, write_whole
from snas_tune.owned import cache_directory
from snas_tune.search.state import implementation_record
from snas_tune.search.timing import measure_seconds
from snas_tune.space.space import Implementation, Space
from snas_tune.training.runtime import Runtime

log = logging.getLogger(__name__)

FILE = "implementations.json"
"""Name of the table in :func:`snas_tune.owned.cache_directory`."""

MOST_SECONDS = 1e12
"""A pass takes less."""

MOST_BYTES = 1 << 24
"""A longer table is none."""

FORMAT = 1
"""Version of the table. To raise it is to measure anew, as when an implementation is faster now."""


def choose_implementation(
    space: Space, runtime: Runtime, config: SearchConfig, began: object = None
) -> Implementation:
    """The implementation of a search's supernet that the config means.

    ``auto`` is the one in which the search began; else the fastest one of the table; else the
    fastest one of a measurement, which goes into the table. Where the config leaves one only,
    nothing is measured.

    Args:
        space: of the search.
        runtime: from :func:`snas_tune.training.runtime.choose_runtime`.
        config: of the search.
        began: :func:`implementation_record` of the search when it was saved, if it goes on.

    Raises:
        ValueError: the space has no implementation of the config's name.
    """
    recorded = recorded_implementation(space, runtime, config, began)
    if recorded is not None:
        return recorded
    found = candidates(space, runtime, config)
    if len(found) == 1:
        return found[0]
    seconds = _kept_or_measured(
        table_key(space, runtime, config),
        [str(each) for each in found],
        lambda: measure_seconds(space, runtime, config, found),
    )
    return min(found, key=lambda each: seconds[str(each)])


def recorded_implementation(
    space: Space, runtime: Runtime, config: SearchConfig, began: object
) -> Implementation | None:
    """The implementation of an :func:`implementation_record`, if the config allows it."""
    choices = candidates(space, runtime, config)
    return next((each for each in choices if implementation_record(each, runtime) == began), None)


def candidates(space: Space, runtime: Runtime, config: SearchConfig) -> list[Implementation]:
    """The implementations that a config leaves open on a device.

    Under compilation ``auto`` is plain: to compile every implementation would take minutes.

    Raises:
        ValueError: the space has no implementation of the config's name.
    """
    found = list(space.implementations(runtime))
    if config.supernet == "auto" and not runtime.compile:
        return [each for each in found if each.channels_last or not config.channels_last]
    name = "plain" if config.supernet == "auto" else config.supernet
    named = [each for each in found if each.name == name]
    if not named:
        names = ", ".join(dict.fromkeys(each.name for each in found))
        raise ValueError(
            f"supernet must be auto or one of {names} in space {space.name}, got {name!r}"
        )
    # One that has a single memory format runs in that one, whatever the config prefers.
    preferred = [each for each in named if each.channels_last == config.channels_last]
    return (preferred or named)[:1]


def table_key(space: Space, runtime: Runtime, config: SearchConfig) -> str:
    """The facts on which the fastest implementation depends, in words: machine, then shape."""
    device = runtime.device
    facts = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": str(runtime.autocast or runtime.dtype).removeprefix("torch."),
        "channels last": config.channels_last,
        "sampling": config.sampling,
        "sampled ops": config.sampled_ops if config.sampling == "top_k" else None,
        "activation checkpointing": config.activation_checkpointing,
        "batch": config.batch_size,
        "space": space.name,
        **space.shape(),
        **space.machine(runtime),
    }
    return json.dumps(facts, default=str)


def _kept_or_measured(
    key: str, names: Sequence[str], measure: Callable[[], Mapping[str, float]]
) -> Mapping[str, float]:
    """Seconds by implementation: the table's, or else a measurement's, which goes into the table.

    Of trials that start together one measures; the others wait for it and find its entry.
    """
    path = cache_directory() / FILE
    with suppress(ValueError):  # told of below, by whoever replaces the table
        if kept := _entry(_read(path), key, names):
            return _told(kept, f"measured before, kept in {path}")
    with ExitStack() as stack:
        with suppress(OSError):  # likewise
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(path.with_suffix(".lock")))
        table = _read_or_replace(path)
        if kept := _entry(table, key, names):
            return _told(kept, f"measured meanwhile, kept in {path}")
        seconds = measure()
        where = _write(path, {**table, key: seconds})
    return _told(seconds, f"measured now, {where}")


def _entry(table: Mapping[str, Any], key: str, names: Sequence[str]) -> Mapping[str, float] | None:
    entry: Mapping[str, float] = table.get(key, {})
    return entry if set(entry) == set(names) else None


def _told(seconds: Mapping[str, float], how: str) -> Mapping[str, float]:
    best = min(seconds, key=seconds.__getitem__)
    each = ", ".join(f"{name} {1000 * value:.3g}" for name, value in seconds.items())
    log.info("the supernet runs %s (milliseconds of a pass: %s; %s)", best, each, how)
    return seconds


def _read_or_replace(path: Path) -> Mapping[str, Any]:
    try:
        return _read(path)
    except ValueError as error:
        log.warning("table of implementations %s is measured anew and replaced: %s", path, error)
        return {}


def _read(path: Path) -> Mapping[str, Any]:
    """Seconds by key and implementation; empty where there is no table.

    Raises:
        ValueError: the file is none of this format; the message does not name it.
    """
    try:
        value = read_json(read_bounded(path, MOST_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError(f"it must be of format {FORMAT}")
    table = value.get("seconds")
    if not isinstance(table, dict) or not all(map(_are_seconds, table.values())):
        raise ValueError("it must hold seconds by key and implementation")
    return table


def _are_seconds(entry: object) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(value, int | float) and 0 < value < MOST_SECONDS for value in entry.values()
    )


def _write(path: Path, table: Mapping[str, Any]) -> str:
    """Replace the table in one move; the answer says for the log whether it is kept."""
    value = {"format": FORMAT, "seconds": dict(sorted(table.items()))}
    try:
        write_whole(path, json.dumps(value, indent=1) + "\n")
    except OSError as error:
        log.warning(
            "table of implementations %s cannot be written, so every search measures for itself, "
            "and equal ones may differ by rounding: %s",
            path,
            error,
        )
        return "not kept"
    return f"kept in {path}"
