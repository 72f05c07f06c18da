"""Accuracy of a network on images, top-1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snas_tune.checks import check_value, choice
from snas_tune.setting_checks import ACCURACIES
from snas_tune.training.batches import Images, Normalisation, in_order
from snas_tune.training.runtime import Runtime


def accuracy(
    predict: Callable[[Tensor], Tensor],
    images: Images,
    normalise: Normalisation,
    runtime: Runtime,
    batch_size: int,
    metric: str = "accuracy",
) -> float:
    """How many images have the largest logit in their class: a share of all, or by class.

    Args:
        predict: class logits ``(B, classes)`` of normalised images; a network in evaluation mode.
        images: the images to classify.
        normalise: as for the training of the network.
        runtime: numerics and memory format.
        batch_size: images per call.
        metric: the share of all images that are right (``accuracy``), or the mean over the classes
            of the share of their images (``balanced_accuracy``); classes without images have no
            part in it.

    Returns:
        In [0, 1]; NaN where a logit is not a number, for that network classifies nothing.
    """
    check_value("metric", metric, choice(ACCURACIES))
    classes = len(images.classes)
    right = torch.zeros(classes, dtype=torch.int64, device=runtime.device)
    known = torch.zeros((), device=runtime.device)
    with torch.no_grad(), runtime.numerics():
        for pixels, labels in in_order(images, batch_size):
            logits = predict(normalise(pixels, runtime.channels_last))
            hits = torch.where(logits.argmax(1) == labels, labels, classes)
            right += hits.bincount(minlength=classes + 1)[:classes]
            known += 0 * logits.float().sum()  # NaN stays NaN; argmax would call it the first class
    share = balanced if metric == "balanced_accuracy" else plain
    return share(right, images.labels.bincount(minlength=classes)) + known.item()


def plain(right: Tensor, counts: Tensor) -> float:
    """The share of all images that are right.

    Args:
        right: right images of each class, whole numbers.
        counts: all images of each class.
    """
    return right.sum().item() / counts.sum().item()


def balanced(right: Tensor, counts: Tensor) -> float:
    """The mean over the classes that have images of the share that is right, for the same."""
    present = counts > 0
    return (right[present].double() / counts[present]).mean().item()
