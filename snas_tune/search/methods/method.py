"""Method: how a search takes a step, and which architecture it stands for.

A search asks its method for a step on batches and for the choice at the end, and knows nothing
else of it. So a method may have logits, or a controller that draws architectures; it may step on
one batch, or on one of each part of the images; it may derive by argmax or by trying several.

Shapes: ``B`` images, ``C`` choices, ``K`` options of the choice that has most.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.annealing import SCHEDULES
from snas_tune.config import SearchConfig
from snas_tune.search.penalty import Penalty
from snas_tune.search.sampling import Draw
from snas_tune.space.choices import option_mask
from snas_tune.space.space import Space
from snas_tune.space.supernet import Supernet
from snas_tune.training.momenta import load_momenta, momenta_of
from snas_tune.training.runtime import CompiledOrEager, Runtime
from snas_tune.training.seeds import generator_for


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one part of the training images, normalised and augmented."""

    images: Tensor
    labels: Tensor
    keep: Tensor | None
    """Drop path, see :meth:`snas_tune.space.supernet.Supernet.forward`."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step measured, as tensors that are still on the device."""

    cross_entropy: Tensor
    penalty: Tensor
    right: Tensor
    """Share of the batch that was classified right."""

    credit: Tensor | None = None
    """Of every choice, shape ``(C,)``, see :func:`snas_tune.search.sampling.choice_credit`."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a method works with."""

    config: SearchConfig
    space: Space
    runtime: Runtime
    penalty: Penalty
    steps: int
    """Of the whole search."""

    def generator(self, stream: str, step: int) -> torch.Generator:
        """Random numbers that follow from the seed, their purpose and the step."""
        return generator_for(self.config.seed, stream, step)


class Method(ABC):
    """One way to search. It trains the supernet's weights by SGD, and its own logits as it will.

    Args:
        task: the search.
        supernet: on its device; the method trains it in place.
    """

    parts: ClassVar[tuple[str, ...]] = ("weights",)
    """The parts into which the training images are cut, equally; a step gets a batch of each."""

    def __init__(self, task: Task, supernet: Supernet) -> None:
        self.task, self.supernet = task, supernet
        config = task.config
        self.optimiser = torch.optim.SGD(
            supernet.parameters(),
            lr=config.weights_learning_rate,
            momentum=config.weights_momentum,
            weight_decay=config.weights_decay,
        )
        self.scaler = task.runtime.scaler()
        self.forward: Callable[..., Tensor] = (
            CompiledOrEager(supernet) if task.runtime.compile else supernet
        )

    @abstractmethod
    def step(self, batches: Sequence[Batch], step: int) -> StepResult:
        """Take a step, counted from 0.

        Args:
            batches: one of each of :attr:`parts`.
            step: of the search.
        """

    @abstractmethod
    def draw(self, step: int, generator: torch.Generator) -> Draw:
        """An architecture as step ``step`` would draw it, to measure the supernet."""

    @abstractmethod
    def choose(self, accuracy: Callable[[Sequence[int]], float]) -> Sequence[int]:
        """The option of each choice that the search stands for now, by position.

        Args:
            accuracy: measures the supernet under some options on the validation images, for
                methods that choose among several.
        """

    def option_logits(self) -> Tensor:
        """Log of the unnormalised probability of each option, ``(C, K)``, float64, on the CPU.

        It is minus infinity where a choice has no such option. Here all options are equally likely.
        """
        return torch.zeros(self.mask.shape, dtype=torch.float64).masked_fill(~self.mask, -math.inf)

    @cached_property
    def mask(self) -> Tensor:
        """Which entries of a table ``(C, K)`` are options."""
        return option_mask(self.task.space.choices)

    @property
    def optimisers(self) -> list[torch.optim.Optimizer]:
        """All of them, for the estimate of memory."""
        return [self.optimiser]

    def temperature(self, step: int) -> float:
        """Temperature of the samples of a step; NaN where a method has none."""
        return math.nan

    def learning_rate(self, step: int) -> float:
        """Learning rate of SGD at a step: a cosine from the first to the last."""
        config = self.task.config
        done = step / max(1, self.task.steps - 1)
        return SCHEDULES["cosine"](
            config.weights_learning_rate, config.weights_learning_rate_end, done
        )

    def predict(self, batch: Batch, draw: Draw) -> Tensor:
        """Class logits of a batch under a draw, in the precision of the loss.

        Raises:
            ValueError: the supernet's answer has another shape.
        """
        with self.task.runtime.numerics():
            predicted = self.forward(batch.images, draw.sample, batch.keep, draw.active)
        shape = (len(batch.labels), self.task.space.images.classes)
        if tuple(predicted.shape) != shape:
            raise ValueError(
                f"supernet of space {self.task.space.name} must answer a batch with class logits "
                f"of shape {shape}, got {tuple(predicted.shape)}"
            )
        # Of autocast's types the loss is computed in float32.
        return predicted.to(self.task.runtime.dtype)

    def train_weights(self, batch: Batch, draw: Draw, step: int) -> StepResult:
        """A step of SGD on the cross-entropy of a batch under a draw without gradient."""
        self.supernet.train()
        self.optimiser.zero_grad()
        predicted = self.predict(batch, draw)
        loss = F.cross_entropy(predicted, batch.labels)
        self.backward(loss)
        self.update_weights(step)
        self.scaler.update()
        right = (predicted.detach().argmax(1) == batch.labels).float().mean()
        return StepResult(loss.detach(), torch.zeros_like(loss.detach()), right)

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss; a gradient of 0 for weights that did not run."""
        with self.task.runtime.deterministic():
            self.scaler.scale(loss).backward()
        fill_gradients(self.supernet.parameters())

    def update_weights(self, step: int) -> None:
        """Clip the gradient of the weights, and step their optimiser."""
        self.optimiser.param_groups[0]["lr"] = self.learning_rate(step)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.supernet.parameters(), self.task.config.weights_clip)
        self.scaler.step(self.optimiser)

    def state_dict(self) -> dict[str, Any]:
        """All that the method needs to go on bit for bit, besides the supernet's tensors."""
        return {
            "momenta": momenta_of(self.supernet, self.optimiser),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        load_momenta(self.supernet, self.optimiser, state["momenta"])
        self.scaler.load_state_dict(state["scaler"])


def fill_gradients(tensors: Any) -> None:
    """A gradient of 0 where there is none, so that momentum and decay go on in any form."""
    for tensor in tensors:
        if tensor.grad is None:
            tensor.grad = torch.zeros_like(tensor)
