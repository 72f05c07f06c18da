"""Saved states of searches: compared bit for bit, and as snas_tune wrote them before format 2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snas_tune.search.search import Search
from snas_tune.search.state import FORMS


def tensors_of(value: Any) -> list[Tensor]:
    """Copies of all tensors in a state, in an order that only their names decide."""
    if isinstance(value, Tensor):
        return [value.detach().clone()]
    if isinstance(value, dict):
        value = [value[name] for name in sorted(value, key=str)]
    return [t for each in value for t in tensors_of(each)] if isinstance(value, list) else []


def same(a: Search, b: Search) -> bool:
    """Whether all that training changes is equal, bit for bit."""
    states = [search.state_dict() for search in (a, b)]
    pairs = list(zip(*map(tensors_of, states), strict=True))
    assert len(pairs) > 50
    return all(torch.equal(x, y) for x, y in pairs)


def as_format_1(state: dict[str, Any]) -> dict[str, Any]:
    """A state of format 2 as the first format had it: the logits are the supernet's, by type."""
    state = {**state, "shape": dict(state["shape"])}
    ops, nodes = state["shape"].pop("ops"), state["shape"].pop("nodes")
    edges = sum(2 + node for node in range(nodes))
    adam = state["method"]["logits_optimiser"]
    moments = {
        weight: {name: _by_type(value, edges, len(ops)) for name, value in entry.items()}
        for weight, entry in adam["state"].items()
    }
    mine = state["implementation"]
    form = {pair: name for name, pair in FORMS.items()}[mine["name"], mine["channels_last"]]
    config = dict(state["config"])
    return {
        "format": 1,
        "config": {**config, "supernet": config["supernet"].replace("fused", "fast")},
        "frame": state["shape"],
        "step": state["step"],
        "form": {"name": form, "device": mine["device"]},
        "supernet": {
            "logits": _by_type(state["method"]["logits"], edges, len(ops)),
            **state["supernet"],
        },
        "momenta": state["method"]["momenta"],
        "logits_optimiser": {**adam, "state": moments},
        "scaler": state["method"]["scaler"],
    }


def _by_type(value: Tensor, edges: int, ops: int) -> Tensor:
    return value.view(2, edges, ops) if value.dim() == 2 else value
