"""Accuracy of a network on images, top-1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

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
    weights = _weights(images, metric)
    right = torch.zeros((), device=runtime.device)
    with torch.no_grad(), runtime.numerics():
        for pixels, labels in in_order(images, batch_size):
            logits = predict(normalise(pixels, runtime.channels_last))
            right += (weights[labels] * (logits.argmax(1) == labels)).sum()
            right += 0 * logits.float().sum()  # NaN stays NaN; argmax would call it the first class
    return right.item() / len(images)


def _weights(images: Images, metric: str) -> Tensor:
    """Of an image of each class, so that the weights of all images sum to their number."""
    counts = images.labels.bincount(minlength=len(images.classes))
    if metric == "accuracy":
        return torch.ones_like(counts)
    return len(images) / ((counts > 0).sum() * counts.clamp_min(1).double())
