"""Space: all that a search sees of a search space, behind one interface."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from snas_tune.architecture import Architecture, Picks, read_architecture
from snas_tune.config import SearchConfig
from snas_tune.imports import import_named
from snas_tune.space.choices import Choice, check_choices, option_mask
from snas_tune.space.cost import COUNTED, Cost, TableCost, combined, module_cost
from snas_tune.space.supernet import Supernet
from snas_tune.training.runtime import Runtime
from snas_tune.values import shown

SPACES = {"cell": "snas_tune.space.cell.space:CellSpace"}
"""The spaces by name. Another one is ``module:name`` of a class with the same constructor."""


@dataclass(frozen=True, slots=True)
class ImageShape:
    """The images that networks of a space classify."""

    size: int
    """Side in pixels."""

    channels: int
    classes: int


@dataclass(frozen=True, slots=True)
class Implementation:
    """One way to compute a supernet. All ways of a space are one function, up to rounding."""

    name: str
    """``plain``, which every space has, or another of the space's own."""

    channels_last: bool
    """The memory format of images and feature maps."""

    def __str__(self) -> str:
        return f"{self.name} channels-last" if self.channels_last else self.name


class Layer(Protocol):
    """A layer of a child whose latency is measured by itself."""

    def key(self) -> str:
        """A readable name, the same in every process and on every machine."""

    def build(self, *, affine: bool) -> nn.Module:
        """The module."""

    def example(self, device: str | torch.device, batch: int = 1) -> Tensor:
        """A zero batch of the shape that it reads."""


class Child(Protocol):
    """A child network: a module of ``(images, drop_path)`` that can take over a supernet's weights.

    Only a child whose space has paths to drop needs the second argument.
    """

    def inherit(self, supernet: Any) -> None:
        """Copy the weights and statistics of the options that were picked."""


class Space(ABC):
    """The architectures that a search may find, and the networks and costs that go with them.

    A space states its :attr:`choices`, a supernet that computes all of them, and the child of some
    options. Architectures, their JSON and picture, and costs that add up over the choices come for
    free; a space with more to say overrides them.

    Args:
        config: all settings; a space reads its own.
        images: what the networks classify.

    Raises:
        ValueError: a setting does not fit the space.
    """

    name: str
    """As architectures name it in their JSON."""

    choices: Sequence[Choice]
    """The rows of logits, in order."""

    def __init__(self, config: SearchConfig, images: ImageShape) -> None:
        self.config, self.images = config, images

    @classmethod
    def check(cls, config: SearchConfig) -> None:
        """Refuse settings that can be refused before any image is read; none here.

        Raises:
            ValueError: a setting does not fit the space.
        """
        return

    @abstractmethod
    def supernet(self, implementation: str) -> Supernet:
        """A new supernet on the CPU, its weights drawn from torch's global random state.

        Args:
            implementation: a name of :meth:`implementations`.
        """

    @abstractmethod
    def child(self, architecture: Architecture, *, affine: bool = False) -> Any:
        """A new child network, a :class:`Child`, with weights of its own.

        Args:
            architecture: of this space.
            affine: with layers as they are trained from scratch; otherwise with those of the
                supernet, to take over its weights.

        Raises:
            ValueError: the architecture is not of this space.
        """

    def implementations(self, runtime: Runtime) -> Sequence[Implementation]:
        """The ways to compute the supernet there, the one first that is likely to be the fastest.

        ``plain`` is among them.
        """
        return [Implementation("plain", True), Implementation("plain", False)]

    def derive(self, picks: Sequence[int]) -> Architecture:
        """The architecture of one option for each choice, by their positions."""
        named = zip(self.choices, picks, strict=True)
        return Picks(self.name, tuple((c.name, c.options[k]) for c, k in named))

    def picks(self, architecture: Architecture) -> list[int]:
        """The inverse of :meth:`derive`.

        Raises:
            ValueError: the architecture is not of this space.
        """
        picked = dict(architecture.picks) if isinstance(architecture, Picks) else {}
        if architecture.space != self.name or set(picked) != {c.name for c in self.choices}:
            raise ValueError(
                f"architecture must have the choices of space {self.name}, got "
                f"{architecture.summary()} of space {architecture.space}"
            )
        for choice in self.choices:
            if picked[choice.name] not in choice.options:
                raise ValueError(
                    f"{choice.name} must be one of {', '.join(choice.options)}, "
                    f"got {picked[choice.name]!r}"
                )
        return [choice.options.index(picked[choice.name]) for choice in self.choices]

    def live(self, architecture: Architecture) -> Architecture:
        """The architecture without the parts that do not change the child's function."""
        return architecture

    def shape(self) -> dict[str, Any]:
        """The facts that fix the supernet's tensors, by name: a checkpoint fits only equal ones."""
        options = {choice.name: list(choice.options) for choice in self.choices}
        return {
            "choices": options,
            "image_size": self.images.size,
            "image_channels": self.images.channels,
            "classes": self.images.classes,
        }

    def cost(self, name: str) -> Cost:
        """One cost of all architectures.

        Here it is counted from children that differ from the first one in one option. The fixed
        part is the cost of the cheapest child.

        Raises:
            ValueError: the costs of the choices do not add up, or the cost is a latency: then a
                space must count by itself.
        """
        base = [0] * len(self.choices)
        mask = option_mask(self.choices)
        fixed = self.child_cost(name, self.derive(base))
        table = torch.zeros(mask.shape, dtype=torch.float64)
        for c, k in mask.nonzero().tolist():
            if k:
                table[c, k] = self.child_cost(name, self.derive([*base[:c], k, *base[c + 1 :]]))
                table[c, k] -= fixed
        last = [len(choice.options) - 1 for choice in self.choices]
        whole = fixed + sum(float(table[c, k]) for c, k in enumerate(last))
        counted = self.child_cost(name, self.derive(last))
        if whole != counted:
            raise ValueError(
                f"{name} of space {self.name} must add up over its choices, or the space must "
                f"count it, got {counted:g} where the sum is {whole:g}"
            )
        # Prices begin at the cheapest option of a choice, in whatever order a space names them.
        least = table.masked_fill(~mask, math.inf).amin(-1, keepdim=True)
        table = (table - least).masked_fill(~mask, 0.0)
        return TableCost(name, table, mask, fixed + float(least.sum()))

    def prices(self, costs: Mapping[str, Any], weights: Mapping[str, float], form: str) -> Tensor:
        """The price of every option in the penalty, ``(C, K)``, of uniform expectation 1.

        Args:
            costs: from :meth:`cost`, by name.
            weights: of each of them, by name.
            form: ``linear`` or ``log`` in the cost of an option.

        Raises:
            ValueError: every option costs nothing, so there is nothing to penalise.
        """
        return combined({name: partial(cost.prices, form) for name, cost in costs.items()}, weights)

    def child_cost(
        self, name: str, architecture: Architecture, *, keep_unused: bool = False
    ) -> float:
        """Cost of the child network of an architecture.

        Args:
            name: ``flops``, ``params``, ``memory`` or ``latency_ms``.
            architecture: of this space.
            keep_unused: count the parts that :meth:`live` leaves out, too.

        Raises:
            ValueError: the cost is not known in this space.
        """
        if name not in COUNTED:
            raise ValueError(
                f"cost must be one of {', '.join(COUNTED)} in space {self.name}, got {name}"
            )
        if architecture not in self._counted:  # all costs of a child are counted at once
            with torch.random.fork_rng(devices=[]):
                child = self.child(architecture)
            shape = (1, self.images.channels, self.images.size, self.images.size)
            self._counted[architecture] = module_cost(child, torch.zeros(shape))
        return self._counted[architecture][name]

    @cached_property
    def _counted(self) -> dict[Architecture, dict[str, float]]:
        """The costs of the children that were counted."""
        return {}

    def machine(self, runtime: Runtime) -> dict[str, Any]:
        """The facts of the machine, by name, on which the fastest implementation depends."""
        return {}

    def release(self) -> None:
        """Let go of memory that supernets of this space keep for their next step; none here."""
        return

    @cached_property
    def latency(self) -> Mapping[str, float] | None:
        """Milliseconds by layer key, if the config names a table."""
        return None

    def layers(self) -> Sequence[Layer]:
        """Every layer that a child can have, once each, to measure its latency.

        Raises:
            ValueError: latency is not measured layer by layer in this space.
        """
        raise ValueError(f"space must have layers to measure, got {self.name}, which names none")


def named_class(name: str, table: Mapping[str, str], setting: str, kind: type[Any]) -> Any:
    """A subclass of ``kind`` by its name in a table, or by ``module:name``.

    Raises:
        ValueError: there is none, or it lacks methods; the message begins with the setting.
    """
    where = table.get(name, name)
    if ":" not in where:
        known = ", ".join(table)
        raise ValueError(f"{setting} must be one of {known}, or module:name, got {shown(name)}")
    found = import_named(setting, where)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise ValueError(f"{setting} must be a subclass of {kind.__name__}, got {name!r}")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ValueError(f"{setting} must define {', '.join(missing)}, got {name!r}")
    return found


def space_class(name: str) -> type[Space]:
    """The class of a space.

    Raises:
        ValueError: there is none of that name.
    """
    found: type[Space] = named_class(name, SPACES, "space", Space)
    return found


def build_space(config: SearchConfig, images: ImageShape) -> Space:
    """The space that a config names.

    Raises:
        ValueError: there is none of that name, or a setting does not fit it.
    """
    space = space_class(config.space)(config, images)
    for fact in ("name", "choices"):
        if not hasattr(space, fact):
            raise ValueError(f"space must state its {fact}, got {config.space!r}")
    check_choices(space.name, space.choices)
    _check_architectures(space)
    return space


def _check_architectures(space: Space) -> None:
    """Refuse a space whose architectures a front file could hold but nobody could read.

    So it is where a space has the name of a built-in one, whose class then reads the JSON.
    """
    first = [0] * len(space.choices)
    architecture = space.derive(first)
    try:
        read_architecture(architecture.to_json())
    except ValueError as error:
        raise ValueError(
            f"architectures of space {space.name} must be read as they are written, got {error}"
        ) from error
    if list(space.picks(architecture)) != first:
        raise ValueError(
            f"picks of space {space.name} must be the inverse of derive, got "
            f"{space.picks(architecture)} for {first}"
        )
