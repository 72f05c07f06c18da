"""The form in which a supernet is fastest on a machine: measured once for a shape, then kept.

The forms of :data:`snas_tune.training.runtime.FORMS` are one function, but they round differently,
so a search must stay in its form: a table keeps what was measured, and a checkpoint its form.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch

from snas_tune.config import SearchConfig
from snas_tune.data.cache import locked
from snas_tune.search.timing import measure_forms
from snas_tune.space.cell.kernels import build
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.training.runtime import FORMS, Runtime

log = logging.getLogger(__name__)

FILE = "forms.json"
"""Name of the table in :func:`snas_tune.space.cell.kernels.build.cache_directory`."""

FORMAT = 1
"""Version of the table. To raise it is to measure anew, as when a form has become faster."""


def choose_form(
    runtime: Runtime, config: SearchConfig, skeleton: Skeleton, began: object = None
) -> Runtime:
    """The runtime of a search, its supernet in the form that the config means for this shape.

    ``auto`` is the form in which the search began; else the fastest one of the table; else the
    fastest one of a measurement, which goes into the table. Where the config leaves one form only,
    nothing is measured.

    Args:
        runtime: from :func:`snas_tune.training.runtime.choose_runtime`.
        config: of the search.
        skeleton: of its supernet.
        began: :func:`form_record` of the search when it was saved, if it goes on.
    """
    if begun := begun_form(runtime, config, began):
        return begun
    forms = candidates(runtime, config)
    if len(forms) == 1:
        return runtime.in_form(forms[0])
    seconds = _kept_or_measured(
        form_key(runtime, config, skeleton),
        forms,
        lambda: measure_forms([runtime.in_form(form) for form in forms], config, skeleton),
    )
    return runtime.in_form(min(forms, key=seconds.__getitem__))


def begun_form(runtime: Runtime, config: SearchConfig, began: object) -> Runtime | None:
    """The runtime in the form of a :func:`form_record`, where that and the config agree."""
    choices = (runtime.in_form(form) for form in candidates(runtime, config))
    return next((choice for choice in choices if form_record(choice) == began), None)


def candidates(runtime: Runtime, config: SearchConfig) -> list[str]:
    """The forms that a config leaves open on a device.

    Under compilation ``auto`` is plain: to compile every form would take minutes. The native
    kernels read channels-last; through torch's operators the fast form has either format.
    """
    if config.supernet != "auto" or runtime.compile:
        return [runtime.form]
    return [
        form
        for form, (fast, channels_last) in FORMS.items()
        if channels_last or not (config.channels_last or (fast and runtime.native))
    ]


def form_record(runtime: Runtime) -> dict[str, str]:
    """What a saved search says of its form. It holds on the same kind of device."""
    return {"name": runtime.form, "device": runtime.device.type}


def form_key(runtime: Runtime, config: SearchConfig, skeleton: Skeleton) -> str:
    """What the fastest form depends on, in words: the machine, then the shape."""
    device = runtime.device
    machine = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        f"processor {build.processor_key()}",
        f"threads {torch.get_num_threads()}",
        f"torch {torch.__version__}",
        f"kernels {build.kernels_key() if runtime.native else 'none'}",
    )
    shape = (
        str(runtime.autocast or runtime.dtype).removeprefix("torch."),
        "channels-last" if config.channels_last else "any format",
        f"sampling {config.sampling}{f' {config.sampled_ops}' * (config.sampling == 'top_k')}",
        f"checkpointing {'on' if config.activation_checkpointing else 'off'}",
        f"batch {config.batch_size}",
        f"side {skeleton.image_size}",
        f"colours {skeleton.image_channels}",
        f"stem {skeleton.stem}",
        f"channels {skeleton.channels}, one in {skeleton.partial}",
        f"cells {skeleton.cells}",
        f"nodes {config.nodes}",
        f"ops {' '.join(config.ops)}",
    )
    return ", ".join((*machine, *shape))


def _kept_or_measured(
    key: str, forms: Sequence[str], measure: Callable[[], Mapping[str, float]]
) -> Mapping[str, float]:
    """Seconds by form: the table's, or else a measurement's, which goes into the table.

    Of trials that start together one measures; the others wait for it and find its entry.
    """
    path = build.cache_directory() / FILE
    with suppress(ValueError):  # told of below, by whoever replaces the table
        if kept := _entry(_read(path), key, forms):
            return _told(kept, f"measured before, kept in {path}")
    with ExitStack() as stack:
        with suppress(OSError):  # likewise
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(path.with_suffix(".lock")))
        table = _read_or_replace(path)
        if kept := _entry(table, key, forms):
            return _told(kept, f"measured meanwhile, kept in {path}")
        seconds = measure()
        where = _write(path, {**table, key: seconds})
    return _told(seconds, f"measured now, {where}")


def _entry(table: Mapping[str, Any], key: str, forms: Sequence[str]) -> Mapping[str, float] | None:
    entry: Mapping[str, float] = table.get(key, {})
    return entry if set(entry) == set(forms) else None


def _told(seconds: Mapping[str, float], how: str) -> Mapping[str, float]:
    best = min(seconds, key=seconds.__getitem__)
    each = ", ".join(f"{form} {1000 * value:.3g}" for form, value in seconds.items())
    log.info("the supernet runs %s (milliseconds of a pass: %s; %s)", best, each, how)
    return seconds


def _read_or_replace(path: Path) -> Mapping[str, Any]:
    try:
        return _read(path)
    except ValueError as error:
        log.warning("table of forms %s is measured anew and replaced: %s", path, error)
        return {}


def _read(path: Path) -> Mapping[str, Any]:
    """Seconds by key and form; empty where there is no table.

    Raises:
        ValueError: the file is none of this format; the message does not name it.
    """
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError(f"it must be of format {FORMAT}")
    table = value.get("seconds")
    if not isinstance(table, dict) or not all(map(_are_seconds, table.values())):
        raise ValueError("it must hold seconds by key and form")
    return table


def _are_seconds(entry: object) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(value, int | float) and 0 < value < math.inf for value in entry.values()
    )


def _write(path: Path, table: Mapping[str, Any]) -> str:
    """Replace the table in one move; the answer says for the log whether it is kept."""
    partial = path.with_name(f"{FILE}.{os.getpid()}.partial")
    value = {"format": FORMAT, "seconds": dict(sorted(table.items()))}
    try:
        partial.write_text(json.dumps(value, indent=1) + "\n")
        partial.replace(path)
    except OSError as error:
        log.warning(
            "table of forms %s cannot be written, so every search measures for itself, and equal "
            "ones may differ by rounding: %s",
            path,
            error,
        )
        return "not kept"
    finally:
        with suppress(OSError):
            partial.unlink()
    return f"kept in {path}"
