"""What the steps of an epoch amount to.

Shapes: ``C`` choices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from snas_tune.results import CREDIT
from snas_tune.search.methods.method import Method, StepResult
from snas_tune.space.choices import Choice
from snas_tune.training.diverged import Diverged


def step_text(method: Method, first: int) -> Callable[[int], str]:
    """Describes a step of an epoch for messages; ``first`` is the epoch's first step."""

    def text(number: int) -> str:
        step = first + number
        return (
            f"step {step} (penalty strength {method.task.config.penalty_strength:g}, temperature "
            f"{method.temperature(step):.4g}, learning rate {method.learning_rate(step):.4g})"
        )

    return text


def training_report(
    results: Sequence[StepResult], choices: Sequence[Choice], settings: Callable[[int], str]
) -> dict[str, Any]:
    """The part of a report that comes from the steps of an epoch: their means.

    Args:
        results: one for each step.
        choices: of the space, to name their credit.
        settings: says of a step, counted from 0, which it is and what it was taken with.

    Returns:
        Losses, training accuracy, and, if the method measures it, the credit of every choice as
        ``credit/<choice>`` and the mean of every group as ``credit_<group>``.

    Raises:
        Diverged: a loss is NaN or infinite.
    """
    cross_entropy = torch.stack([r.cross_entropy for r in results]).double().cpu()
    penalty = torch.stack([r.penalty for r in results]).double().cpu()
    loss = cross_entropy + penalty
    if not loss.isfinite().all():
        bad = int((~loss.isfinite()).nonzero()[0])
        raise Diverged(
            f"loss must be finite, got {loss[bad].item()} (cross-entropy "
            f"{cross_entropy[bad].item():.4g}) at {settings(bad)}"
        )
    return {
        "loss": loss.mean().item(),
        "cross_entropy": cross_entropy.mean().item(),
        "penalty": penalty.mean().item(),
        "train_accuracy": torch.stack([r.right for r in results]).mean().item(),
        **_credit_report(results, choices),
    }


def _credit_report(results: Sequence[StepResult], choices: Sequence[Choice]) -> dict[str, float]:
    known = [r.credit for r in results if r.credit is not None]
    if not known:
        return {}
    credit = torch.stack(known).double().mean(0).cpu().tolist()
    groups: dict[str, list[float]] = {}
    for choice, value in zip(choices, credit, strict=True):
        groups.setdefault(choice.group, []).append(value)
    means = {f"{CREDIT}_{group}": sum(row) / len(row) for group, row in groups.items()}
    each = {f"{CREDIT}/{c.name}": value for c, value in zip(choices, credit, strict=True)}
    return {**means, **each}
