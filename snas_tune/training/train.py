"""Training of any network on labelled images: SGD along a cosine to 0, as in DARTS."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snas_tune.arguments import checked
from snas_tune.checks import (
    COUNT,
    COUNT_OR_ZERO,
    FUNCTION,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    at_least,
    at_most,
    check_fields,
    is_instance,
)
from snas_tune.documents import documented
from snas_tune.setting_checks import MOST_STEPS
from snas_tune.training.augment import Augmentation, augment
from snas_tune.training.batches import SplitImages, batch_indices, steps_per_epoch
from snas_tune.training.diverged import Diverged
from snas_tune.training.evaluate import accuracy
from snas_tune.training.runtime import Runtime
from snas_tune.training.seeds import generator_for


@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a network is trained; the defaults of SGD are those of DARTS.

    Raises:
        ValueError: a value breaks its rule.
    """

    epochs: Annotated[int, COUNT_OR_ZERO, at_most(MOST_STEPS)]
    """Passes over the training images. The cosine spans exactly these."""

    batch_size: Annotated[int, at_least(2), at_most(MOST_STEPS)] = 64
    """Images per step."""

    augmentation: Annotated[Augmentation, is_instance(Augmentation)] = field(
        default_factory=Augmentation
    )
    """How the training images are varied."""

    seed: Annotated[int, COUNT_OR_ZERO] = 0
    """Fixes the data order, augmentation and drop path."""

    learning_rate: Annotated[float, POSITIVE] = 0.025
    """Of SGD, at the first step."""

    momentum: Annotated[float, SHARE] = 0.9
    """Of SGD."""

    decay: Annotated[float, NOT_NEGATIVE] = 3e-4
    """L2 of SGD."""

    clip: Annotated[float, POSITIVE] = 5.0
    """Largest norm of the gradient."""

    drop_path: Annotated[float, SHARE] = 0.0
    """Probability that an image loses a path, reached along a line from 0 (published: 0.2). For
    networks whose ``forward`` has an argument ``drop_path``."""

    evaluation_batch_size: Annotated[int, COUNT, at_most(MOST_STEPS)] = 250
    """Images per forward pass of an evaluation."""

    def __post_init__(self) -> None:
        check_fields(self)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Learning rate of SGD at a step: a cosine to 0."""
        return self.learning_rate * (1 + math.cos(math.pi * step / steps)) / 2

    def drop_path_at(self, epoch: int) -> float:
        """Drop path of an epoch, the first of which is 0."""
        return self.drop_path * epoch / self.epochs


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch of a training."""

    epoch: int
    """From 1."""

    loss: float
    """Mean cross-entropy of its steps."""

    accuracy: float
    """Validation top-1 after it."""


@checked
def train(
    network: Annotated[nn.Module, is_instance(nn.Module)],
    data: Annotated[SplitImages, is_instance(SplitImages)],
    runtime: Annotated[Runtime, is_instance(Runtime)],
    training: Annotated[Training, is_instance(Training)],
    progress: Annotated[Callable[[EpochReport], None] | None, FUNCTION] = None,
) -> None:
    """Train a network in place, and leave it in evaluation mode.

    Args:
        network: gives class logits ``(B, classes)`` of normalised images
            ``(B, channels, side, side)``; on the device of ``runtime``.
        data: its training part is trained on, its validation part is measured.
        runtime: precision and memory format.
        training: how.
        progress: called after each epoch. Without it nothing is measured.

    Raises:
        ValueError: the training images do not fill one batch, or a drop path is asked of a network
            that has none.
        Diverged: a loss is NaN or infinite.
    """
    steps = steps_per_epoch(len(data.train), training.batch_size)
    _check_drop_path(network, training)
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=training.learning_rate,
        momentum=training.momentum,
        weight_decay=training.decay,
    )
    scaler = runtime.scaler()
    for epoch in range(training.epochs):
        losses = []
        network.train()
        for step in range(epoch * steps, (epoch + 1) * steps):
            rate = training.learning_rate_at(step, training.epochs * steps)
            optimiser.param_groups[0]["lr"] = rate
            loss = _loss(network, data, runtime, training, step)
            _descend(loss, optimiser, scaler, runtime, training.clip)
            losses.append(loss.detach())
        mean = torch.stack(losses).double().mean().item()
        if not math.isfinite(mean):
            raise Diverged(f"loss must be finite, got {mean} in epoch {epoch + 1}")
        if progress is not None:
            network.eval()
            right = accuracy(
                network, data.validation, data.normalise, runtime, training.evaluation_batch_size
            )
            progress(EpochReport(epoch + 1, mean, right))
    network.eval()


def _check_drop_path(network: nn.Module, training: Training) -> None:
    has_drop_path = "drop_path" in inspect.signature(network.forward).parameters
    if training.drop_path and not has_drop_path:
        raise ValueError(
            f"drop_path must be 0 for {type(network).__name__}, whose forward has no argument "
            f"drop_path, got {training.drop_path}"
        )


def _loss(
    network: nn.Module, data: SplitImages, runtime: Runtime, training: Training, step: int
) -> Tensor:
    """Cross-entropy of a step's batch."""
    count, seed = len(data.train), training.seed
    index = batch_indices(count, training.batch_size, seed, step).to(runtime.device)
    images = data.normalise(data.train.pixels[index], runtime.channels_last)
    images = augment(images, training.augmentation, generator_for(seed, "child augment", step))
    epoch = step // steps_per_epoch(count, training.batch_size)
    extra = {"drop_path": training.drop_path_at(epoch)} if training.drop_path else {}
    with _seeded(runtime.device, generator_for(seed, "child drop path", step)), runtime.numerics():
        predicted = network(images, **extra)
    # Of autocast's types the loss is computed in float32.
    return F.cross_entropy(predicted.to(runtime.dtype), data.train.labels[index])


def _descend(
    loss: Tensor,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    runtime: Runtime,
    clip: float,
) -> None:
    """One step against the gradient, whose norm is at most ``clip``."""
    optimiser.zero_grad()
    with runtime.deterministic():
        scaler.scale(loss).backward()
    scaler.unscale_(optimiser)
    nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], clip)
    scaler.step(optimiser)
    scaler.update()


@contextlib.contextmanager
def _seeded(device: torch.device, generator: torch.Generator) -> Iterator[None]:
    """Seed the global random state, which drop path and dropout draw from; then put it back."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(generator.initial_seed())
        yield
