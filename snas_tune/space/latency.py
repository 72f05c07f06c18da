"""Latency: milliseconds of every layer at its shape, measured on a device into a file.

The file is carried from the device that will run the child to the machines that search: there it is
the cost ``latency_ms``. A child's latency is the sum over its layers, an approximation that ignores
the layers that a runtime fuses or overlaps.
"""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch.utils.benchmark import Timer

from snas_tune.architecture import one_line
from snas_tune.checks import NOT_NEGATIVE, Check, check_value
from snas_tune.files import read_bounded, read_json, write_whole
from snas_tune.space.space import Layer
from snas_tune.training.runtime import choose_device
from snas_tune.values import shown

FORMAT = 1
"""Version of the table file."""

MOST_BYTES = 1 << 26
"""Most bytes of the file: hundreds of thousands of layers."""

MEASURED = (NOT_NEGATIVE, Check(lambda value: value <= 1e9, "at most 1e9"))
"""Milliseconds of a layer."""


def measure_latencies(
    layers: Iterable[Layer],
    *,
    device: str = "auto",
    repeats: int = 30,
    progress: Callable[[Layer, float], None] | None = None,
) -> dict[str, float]:
    """Milliseconds of one image through each layer: the median of ``repeats`` runs.

    Args:
        layers: from :meth:`Space.layers`.
        device: ``auto`` or a torch device.
        repeats: runs of each layer, each after two that are not counted.
        progress: called with each layer and its milliseconds.

    Returns:
        Milliseconds by :meth:`Layer.key`.

    Raises:
        ValueError: the device is not there, or ``repeats`` is not positive.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be positive, got {repeats}")
    place = choose_device(device)
    table = {}
    for layer in layers:
        table[layer.key()] = _milliseconds(layer, place, repeats)
        if progress is not None:
            progress(layer, table[layer.key()])
    return table


def _milliseconds(layer: Layer, device: torch.device, repeats: int) -> float:
    names = {"module": layer.build(affine=False).to(device).eval(), "image": layer.example(device)}
    # It waits for a GPU, and runs the statement twice before each time that it takes.
    timer = Timer("module(image)", globals=names, num_threads=torch.get_num_threads())
    with torch.inference_mode():
        times = [timer.timeit(1).median for _ in range(repeats)]
    return 1000 * statistics.median(times)


def write_latencies(path: str | Path, table: Mapping[str, float], device: str = "auto") -> None:
    """Write a table with a description of the device, replacing the file in one move.

    Raises:
        ValueError: the device is not there, or the file cannot be written.
    """
    place = choose_device(device)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else platform.machine()
    value = {
        "format": FORMAT,
        "device": f"{place.type} {name}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "milliseconds": dict(sorted(table.items())),
    }
    path = Path(path)
    try:
        write_whole(path, json.dumps(value, indent=1) + "\n")
    except OSError as error:
        raise ValueError(f"latency table {path} cannot be written: {error}") from error


def read_latencies(path: str | Path) -> dict[str, float]:
    """Milliseconds by layer key.

    Raises:
        ValueError: the file is missing, no latency table, or of a newer format.
    """
    try:
        value = read_json(read_bounded(path, MOST_BYTES))
        version = value["format"]
        if version == FORMAT:
            table = value["milliseconds"].items()
            if not table:
                raise ValueError("it must have one layer or more")
            return {key: check_value(f"latency of {shown(key)}", ms, MEASURED) for key, ms in table}
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"latency table {path} cannot be read: {_named(error)}") from error
    raise ValueError(f"latency table {path} must have format {FORMAT}, got {version!r}")


def _named(error: Exception) -> str:
    """Kind and message of an error, of which a missing key's message alone says little."""
    return f"{type(error).__name__}({one_line(str(error), 200)})"
