"""Accuracy of a network on images, top-1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snas_tune.results import BALANCED
from snas_tune.training.batches import Images, Normalisation, in_order
from snas_tune.training.runtime import Runtime


def accuracy(
    predict: Callable[[Tensor], Tensor],
    images: Images,
    normalise: Normalisation,
    runtime: Runtime,
    batch_size: int,
) -> float:
    """Share of images whose class has the largest logit; see :func:`accuracies`."""
    return accuracies(predict, images, normalise, runtime, batch_size)["accuracy"]


def accuracies(
    predict: Callable[[Tensor], Tensor],
    images: Images,
    normalise: Normalisation,
    runtime: Runtime,
    batch_size: int,
) -> dict[str, float]:
    """How many images have the largest logit in their class, by each way to count them.

    Args:
        predict: class logits ``(B, classes)`` of normalised images; a network in evaluation mode.
        images: the images to classify.
        normalise: as for the training of the network.
        runtime: numerics and memory format.
        batch_size: images per call.

    Returns:
        ``accuracy``, the share of all images, and ``balanced_accuracy``, the mean over the classes
        that have images of the share of theirs. In [0, 1]; NaN where a logit is not a number, for
        that network classifies nothing.
    """
    classes = len(images.classes)
    right = torch.zeros(classes, dtype=torch.int64, device=runtime.device)
    known = torch.zeros((), device=runtime.device)
    with torch.no_grad(), runtime.numerics():
        for pixels, labels in in_order(images, batch_size):
            logits = predict(normalise(pixels, runtime.channels_last))
            hits = torch.where(logits.argmax(1) == labels, labels, classes)
            right += hits.bincount(minlength=classes + 1)[:classes]
            known += 0 * logits.float().sum()  # NaN stays NaN; argmax would call it the first class
    return shares(right.cpu(), images.labels.bincount(minlength=classes).cpu(), known.item())


def shares(right: Tensor, counts: Tensor, known: float = 0.0) -> dict[str, float]:
    """The accuracies of right images and all images of each class.

    Args:
        right: whole numbers, of shape ``(classes,)``.
        counts: the same.
        known: 0, or NaN where an answer was no number.
    """
    present = counts > 0
    by_class = right[present].double() / counts[present]
    return {
        "accuracy": right.sum().item() / counts.sum().item() + known,
        BALANCED: by_class.mean().item() + known,
    }
