"""A child network out of a checkpoint alone, where the images are no longer there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from snas_tune.architecture import Architecture
from snas_tune.config import SearchConfig
from snas_tune.files import first_line
from snas_tune.search.images import read_record
from snas_tune.search.state import check_tensors
from snas_tune.space.space import ImageShape, Space, build_space
from snas_tune.training.batches import Normalisation


@dataclass(frozen=True, slots=True, eq=False)
class KeptChild:
    """A child with the weights and batch-norm statistics that a checkpoint holds."""

    network: nn.Module
    """In evaluation mode, on the CPU."""

    normalise: Normalisation
    """Of the search's training images."""

    classes: tuple[str, ...]
    """Their names, in the order of the logits."""

    side: int
    """Of the images, in pixels."""


def kept_child(state: Mapping[str, Any], architecture: Architecture) -> KeptChild:
    """The child that was measured when a state was saved.

    Args:
        state: from :func:`snas_tune.search.checkpoint.read_state`.
        architecture: of this child.

    Raises:
        ValueError: the state does not hold the child's statistics, as older ones do not, and those
            after an epoch whose child was not measured.
    """
    images, statistics = read_record(state.get("images")), state.get("statistics")
    if images is None or statistics is None:
        raise ValueError(
            "images must be there for a checkpoint that does not hold its child's batch-norm "
            "statistics, got none"
        )
    try:
        return _child_of(state, architecture, images)
    except (RuntimeError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"checkpoint must hold the statistics of its child, got others ({first_line(error)})"
        ) from error


def _child_of(
    state: Mapping[str, Any], architecture: Architecture, images: Mapping[str, Any]
) -> KeptChild:
    statistics = state["statistics"]
    channels, side, _ = images["shape"]
    config = replace(SearchConfig.from_dict(state["config"]), device="cpu")
    space = build_space(config, ImageShape(side, channels, len(images["classes"])))
    mean, deviation = (state["normalise"][name] for name in ("mean", "deviation"))
    supernet = space.supernet("plain").to(mean.dtype)
    check_tensors(dict(supernet.named_tensors()), state["supernet"])
    supernet.load_tensors(state["supernet"])
    child: Any = space.child(architecture).to(mean.dtype)
    child.inherit(supernet)
    buffers = dict(child.named_buffers())
    if set(buffers) != set(statistics):
        raise ValueError("architecture must be the one that its checkpoint measured, got another")
    with torch.no_grad():
        for name, values in statistics.items():
            buffers[name].copy_(values)
    return KeptChild(child.eval(), Normalisation(mean, deviation), tuple(images["classes"]), side)


def check_child(space: Space) -> None:
    """Refuse, before any step, a space whose child could not take over weights.

    Raises:
        ValueError: the child has no method ``inherit``.
    """
    with torch.random.fork_rng(devices=[]):
        child = space.child(space.derive([0] * len(space.choices)))
    if not callable(getattr(child, "inherit", None)):
        raise ValueError(
            f"child of space {space.name} must have a method inherit(supernet), "
            f"got a {type(child).__name__} without it"
        )
