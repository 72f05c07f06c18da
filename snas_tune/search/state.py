"""The saved state of a search: whose it is, and the optimiser's part under the weights' names."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from snas_tune.config import SearchConfig
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cell.supernet import Supernet

FORMAT = 1
"""Version of the saved state."""

HORIZON = ("epochs", "batch_size", "seed", "limit_images", "validation_fraction")
"""The settings that fix what a step is: with other ones it would go on with another search."""


def check_state(state: Mapping[str, Any], config: SearchConfig, skeleton: Skeleton) -> None:
    """Raise ``ValueError`` unless a search of that config and skeleton can go on from a state.

    The message names the first difference.
    """
    if state.get("format") != FORMAT:
        raise ValueError(f"checkpoint format must be {FORMAT}, got {state.get('format')!r}")
    saved = SearchConfig.from_dict(state["config"])
    mine = {**config.space(), **asdict(skeleton), **_horizon(config)}
    frame_saved = {"partial": 1, **state["skeleton"]}  # earlier frames do not name it
    theirs = {**saved.space(), **frame_saved, **_horizon(saved)}
    for name, value in mine.items():
        if theirs.get(name) != value:
            raise ValueError(
                f"checkpoint must be of the same search: its {name} is {theirs.get(name)!r}, this "
                f"search has {value!r}"
            )


def _horizon(config: SearchConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in HORIZON}


def momenta_of(supernet: Supernet, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """SGD's momentum of every weight, by its name in the plain form; empty before the first step.

    So the plain and the fast form can go on from each other's checkpoints.
    """
    found = [optimiser.state[weight] for weight in supernet.weights()]
    if not any("momentum_buffer" in state for state in found):
        return {}
    shadow = copy.deepcopy(supernet)  # a supernet whose weights are the momenta
    for weight, state in zip(shadow.weights(), found, strict=True):
        weight.data = state.get("momentum_buffer", torch.zeros_like(weight))
    weights = (".weight", ".bias")
    return {name: t for name, t in shadow.named_tensors() if name.endswith(weights)}


def load_momenta(
    supernet: Supernet, optimiser: torch.optim.Optimizer, momenta: Mapping[str, Tensor]
) -> None:
    """The inverse of :func:`momenta_of`."""
    optimiser.state.clear()
    if not momenta:
        return
    shadow = copy.deepcopy(supernet)
    shadow.load_tensors(momenta)
    for weight, momentum in zip(supernet.weights(), shadow.weights(), strict=True):
        optimiser.state[weight]["momentum_buffer"] = momentum.detach()
