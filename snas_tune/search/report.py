"""What the steps of an epoch measured, and what they amount to.

Shapes: ``T`` = 2 cell types, ``E`` edges of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from snas_tune.space.cell.genotype import cell_edges
from snas_tune.training.diverged import SearchDiverged


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step measured, as tensors that are still on the device."""

    cross_entropy: Tensor
    penalty: Tensor
    right: Tensor
    """Share of the batch that was classified right."""

    credit: Tensor
    """Of every edge, shape ``(T, E)``, see :func:`snas_tune.search.sampling.edge_credit`."""


def training_report(
    results: Sequence[StepResult], nodes: int, settings: Callable[[int], str]
) -> dict[str, Any]:
    """The part of a report that comes from the steps of an epoch: their means.

    Args:
        results: one for each step.
        nodes: intermediate nodes of a cell, to name its edges.
        settings: says of a step, counted from 0, which it is and what it was taken with.

    Returns:
        Losses, training accuracy, and the credit of every edge as
        ``credit/<cell>/<source>-<target>``.

    Raises:
        SearchDiverged: a loss is NaN or infinite.
    """
    cross_entropy = torch.stack([r.cross_entropy for r in results]).double().cpu()
    penalty = torch.stack([r.penalty for r in results]).double().cpu()
    loss = cross_entropy + penalty
    if not loss.isfinite().all():
        bad = int((~loss.isfinite()).nonzero()[0])
        raise SearchDiverged(
            f"loss must be finite, got {loss[bad].item()} (cross-entropy "
            f"{cross_entropy[bad].item():.4g}) at {settings(bad)}"
        )
    report = {
        "loss": loss.mean().item(),
        "cross_entropy": cross_entropy.mean().item(),
        "penalty": penalty.mean().item(),
        "train_accuracy": torch.stack([r.right for r in results]).mean().item(),
    }
    credit = torch.stack([r.credit for r in results]).double().mean(0).cpu()
    for kind, row in zip(("normal", "reduction"), credit.tolist(), strict=True):
        report[f"credit_{kind}"] = sum(row) / len(row)
        for (source, target), value in zip(cell_edges(nodes), row, strict=True):
            report[f"credit/{kind}/{source}-{target}"] = value
    return report
