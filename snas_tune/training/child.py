"""A child's own training on the images of its search: SGD along a cosine to 0, as in DARTS."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.search.search import Search
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.training.augment import augment
from snas_tune.training.batches import batch_indices
from snas_tune.training.diverged import SearchDiverged
from snas_tune.training.seeds import generator_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """How a child is trained; the defaults are DARTS'. The batch size is the search's.

    Raises:
        ValueError: a value breaks its rule.
    """

    epochs: int
    """0 or more; the cosine spans exactly these."""

    seed: int = 0
    """Fixes the data order, augmentation and drop path."""

    learning_rate: float = 0.025
    momentum: float = 0.9
    decay: float = 3e-4
    clip: float = 5.0
    """Of SGD, as the search's own."""

    drop_path: float = 0.0
    """Probability that an image loses an edge, reached along a line from 0 (published: 0.2)."""

    def __post_init__(self) -> None:
        for name in ("epochs", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be a whole number, 0 or more, got {value!r}")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("momentum", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 0 and below 1, got {getattr(self, name)!r}"
                )
        if not self.decay >= 0:
            raise ValueError(f"decay must be 0 or more, got {self.decay!r}")

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Of SGD at a step: a cosine to 0."""
        return self.learning_rate * (1 + math.cos(math.pi * step / steps)) / 2

    def drop_path_at(self, epoch: int) -> float:
        """Drop path of an epoch, the first of which is 0."""
        return self.drop_path * epoch / self.epochs


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch of a child's training."""

    epoch: int
    """From 1."""

    loss: float
    """Mean cross-entropy of its steps."""

    accuracy: float
    """Validation top-1 after it."""


def train_child(
    search: Search,
    child: ChildNetwork,
    retraining: Retraining,
    progress: Callable[[EpochReport], None] | None = None,
) -> None:
    """Train a child in place, on the search's training part with its augmentation.

    Args:
        search: whose images, batch size and precision are used; it is not changed.
        child: of this search, with the supernet's weights or others.
        retraining: how.
        progress: called after each epoch.

    Raises:
        SearchDiverged: a loss is NaN or infinite.
    """
    optimiser = torch.optim.SGD(
        child.parameters(),
        lr=retraining.learning_rate,
        momentum=retraining.momentum,
        weight_decay=retraining.decay,
    )
    scaler = search.runtime.scaler()
    steps = search.steps_per_epoch
    for epoch in range(retraining.epochs):
        losses = []
        child.train()
        for step in range(epoch * steps, (epoch + 1) * steps):
            rate = retraining.learning_rate_at(step, retraining.epochs * steps)
            optimiser.param_groups[0]["lr"] = rate
            optimiser.zero_grad()
            loss = _loss(search, child, retraining, step)
            with search.runtime.deterministic():
                scaler.scale(loss).backward()
            scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(child.parameters(), retraining.clip)
            scaler.step(optimiser)
            scaler.update()
            losses.append(loss.detach())
        mean = torch.stack(losses).double().mean().item()
        if not math.isfinite(mean):
            raise SearchDiverged(f"loss must be finite, got {mean} in epoch {epoch + 1} of a child")
        if progress is not None:
            progress(EpochReport(epoch + 1, mean, search.child_accuracy(child)))
    child.eval()


def _loss(search: Search, child: ChildNetwork, retraining: Retraining, step: int) -> Tensor:
    """Cross-entropy of a step's batch."""
    config, data, runtime, seed = search.config, search.data, search.runtime, retraining.seed
    index = batch_indices(len(data.train), config.batch_size, seed, step).to(runtime.device)
    images = data.normalise(data.train.pixels[index], runtime.channels_last)
    images = augment(images, config, generator_for(seed, "child augment", step))
    drop_path = retraining.drop_path_at(step // search.steps_per_epoch)
    with _seeded(runtime.device, generator_for(seed, "child drop path", step)), runtime.numerics():
        predicted = child(images, drop_path)
    return F.cross_entropy(predicted.to(data.mean.dtype), data.train.labels[index])


@contextlib.contextmanager
def _seeded(device: torch.device, generator: torch.Generator) -> Iterator[None]:
    """The global random state, which drop path draws from, for one step; then what it was."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(generator.initial_seed())
        yield
