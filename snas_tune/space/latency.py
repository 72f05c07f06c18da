"""Latency: milliseconds of every layer at its shape, measured on a device into a file.

The file is carried from the device that will run the child to the machines that search: there it is
the cost ``latency_ms``. A child's latency is the sum over its layers, an approximation that ignores
the layers that a runtime fuses or overlaps.
"""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from torch.utils.benchmark import Timer

from snas_tune.architecture import one_line
from snas_tune.arguments import checked
from snas_tune.checks import COUNT, FUNCTION, NOT_NEGATIVE, Check, at_most, check_value, holds
from snas_tune.files import as_json, read_bounded, read_object, write_whole
from snas_tune.setting_checks import MOST_STEPS
from snas_tune.space.space import Layer
from snas_tune.text_checks import DEVICE, PATH
from snas_tune.training.runtime import choose_device
from snas_tune.values import shown

FORMAT = 1
"""Version of the table file."""

MOST_BYTES = 1 << 26
"""Most bytes of the file: hundreds of thousands of layers."""

MEASURED = (NOT_NEGATIVE, Check(lambda value: value <= 1e9, "at most 1e9"))
"""Milliseconds of a layer."""

LAYERS = Check(
    lambda value: (
        isinstance(value, Iterable)
        and not isinstance(value, (str, bytes, Mapping))
        and (not isinstance(value, Collection) or all(hasattr(each, "build") for each in value))
    ),
    "layers of a space",
)
MILLISECONDS = Check(
    lambda value: (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(key, str) for key in value)
        and all(holds(check.test, ms) for ms in value.values() for check in MEASURED)
    ),
    "milliseconds, 0 or more, by the key of a layer, one or more",
)


@checked
def measure_latencies(
    layers: Annotated[Iterable[Layer], LAYERS],
    *,
    device: Annotated[str, DEVICE] = "auto",
    repeats: Annotated[int, COUNT, at_most(MOST_STEPS)] = 30,
    progress: Annotated[Callable[[Layer, float], None] | None, FUNCTION] = None,
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


@checked
def write_latencies(
    path: Annotated[str | Path, PATH],
    table: Annotated[Mapping[str, float], MILLISECONDS],
    device: Annotated[str, DEVICE] = "auto",
) -> None:
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


@checked
def read_latencies(path: Annotated[str | Path, PATH]) -> dict[str, float]:
    """Milliseconds by layer key.

    Raises:
        ValueError: the file is missing, no latency table, or of a newer format.
    """
    try:
        value = read_object(read_bounded(path, MOST_BYTES), "format")
        if value["format"] == FORMAT:
            return _milliseconds_of(value)
    except (OSError, ValueError) as error:
        reason = one_line(str(error), 200)
        raise ValueError(f"latency table {path} cannot be read: {reason}") from error
    version = shown(value["format"])
    raise ValueError(f"latency table {path} must have format {FORMAT}, got {version}")


def _milliseconds_of(value: Mapping[str, Any]) -> dict[str, float]:
    table = value.get("milliseconds")
    if not isinstance(table, dict) or not table:
        raise ValueError(
            f"its milliseconds must be a JSON object of one layer or more, got {as_json(table)}"
        )
    return {key: check_value(f"latency of {shown(key)}", ms, MEASURED) for key, ms in table.items()}
