"""Accuracy of a network on images, top-1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snas_tune.training.batches import Images, SearchData, in_order
from snas_tune.training.runtime import Runtime


def accuracy(
    predict: Callable[[Tensor, int], Tensor],
    images: Images,
    data: SearchData,
    runtime: Runtime,
    batch_size: int,
) -> float:
    """Share of images whose class has the largest logit.

    Args:
        predict: class logits ``(B, classes)`` of normalised images and the batch's number.
        images: the images to classify.
        data: for the normalisation.
        runtime: numerics and memory format.
        batch_size: images per call.

    Returns:
        In [0, 1]; NaN where a logit is not a number, for that network classifies nothing.
    """
    right = torch.zeros((), device=runtime.device)
    with torch.no_grad(), runtime.numerics():
        for number, (pixels, labels) in enumerate(in_order(images, batch_size)):
            logits = predict(data.normalise(pixels, runtime.channels_last), number)
            right += (logits.argmax(1) == labels).sum()
            right += 0 * logits.float().sum()  # NaN stays NaN; argmax would call it the first class
    return right.item() / len(images)
