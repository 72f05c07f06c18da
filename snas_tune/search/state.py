"""The saved state of a search: which search it is of, and states of earlier formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from snas_tune.checks import check_value, is_instance
from snas_tune.config import SearchConfig
from snas_tune.space.space import Implementation, Space
from snas_tune.training.runtime import Runtime

FORMAT = 2
"""Version of the saved state."""

HORIZON = ("epochs", "batch_size", "seed", "limit_images", "validation_fraction")
"""The settings that fix what a step is: with other ones it would go on with another search."""

FORMS = {
    "fast channels-last": ("fused", True),
    "fast": ("fused", False),
    "plain channels-last": ("plain", True),
    "plain": ("plain", False),
}
"""How format 1 named the implementation and memory format of a supernet."""


def implementation_record(implementation: Implementation, runtime: Runtime) -> dict[str, Any]:
    """How a search computes its supernet. It holds on the same kind of device."""
    return {
        "name": implementation.name,
        "channels_last": implementation.channels_last,
        "device": runtime.device.type,
    }


def check_state(state: Mapping[str, Any], config: SearchConfig, space: Space) -> None:
    """Raise ``ValueError`` unless a search of that config and space can go on from a state.

    The message names the first difference.
    """
    check_value("checkpoint", state, is_instance(Mapping, words="the state of a search"))
    if state.get("format") != FORMAT:
        raise ValueError(f"checkpoint format must be {FORMAT}, got {state.get('format')!r}")
    saved = SearchConfig.from_dict(state["config"])
    theirs = {**_named(saved), **state["shape"]}
    for name, value in {**_named(config), **space.shape()}.items():
        if theirs.get(name) != value:
            raise ValueError(
                f"checkpoint must be of the same search: its {name} is {theirs.get(name)!r}, this "
                f"search has {value!r}"
            )


def check_tensors(mine: Mapping[str, Tensor], theirs: Mapping[str, Any]) -> None:
    """Refuse saved tensors that torch would stretch, or cast without a word.

    Args:
        mine: those that take the values over, by name.
        theirs: what was saved.

    Raises:
        RuntimeError: one is missing, has another shape, or is not of real numbers as mine is.
    """
    for name, tensor in mine.items():
        found = theirs.get(name)
        shape = tuple(tensor.shape)
        if not isinstance(found, Tensor) or tuple(found.shape) != shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else None
            raise RuntimeError(f"{name} must be a tensor of shape {shape}, got {got}")
        if found.is_floating_point() != tensor.is_floating_point():
            raise RuntimeError(f"{name} must be a tensor of {tensor.dtype}, got {found.dtype}")


def _named(config: SearchConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ("space", "method", *HORIZON)}


def upgraded(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state of format 1 as one of :data:`FORMAT`.

    Format 1 knew one space, of cells, and one method, SNAS. Its logits were the supernet's, of
    shape (2 cell types, edges, ops).
    """
    config, frame = state["config"], state["frame"]
    tensors = dict(state["supernet"])
    logits: Tensor = tensors.pop("logits")
    adam = state["logits_optimiser"]
    moments = {
        key: {
            name: value.flatten(0, 1) if isinstance(value, Tensor) and value.dim() == 3 else value
            for name, value in entry.items()
        }
        for key, entry in adam["state"].items()
    }
    form = state.get("form")
    form = form if isinstance(form, dict) else {}
    name, channels_last = FORMS.get(form.get("name", ""), ("", False))
    return {
        "format": FORMAT,
        "config": config,
        # The first frames do not name the partial channels.
        "shape": {"partial": 1, **frame, "nodes": config["nodes"], "ops": list(config["ops"])},
        "step": state["step"],
        "implementation": {
            "name": name,
            "channels_last": channels_last,
            "device": form.get("device"),
        },
        "supernet": tensors,
        "method": {
            "momenta": state["momenta"],
            "scaler": state["scaler"],
            "logits": logits.flatten(0, 1),
            "logits_optimiser": {**adam, "state": moments},
        },
    }
