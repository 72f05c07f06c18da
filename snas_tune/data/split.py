"""Which images are for training and which for validation: stratified, determined by a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def split(
    labels: npt.NDArray[Any], *, validation_fraction: float, seed: int
) -> tuple[Indices, Indices]:
    """Divide images into a training and a validation part.

    Of each class the validation part holds its share within one image, and both parts hold at
    least one image.

    Args:
        labels: integers of shape (N,).
        validation_fraction: share of the validation part, above 0 and below 1.
        seed: the same seed gives the same parts.

    Returns:
        Indices of the training and of the validation images, each ascending.

    Raises:
        ValueError: an argument out of range, or a class of one image.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(
            f"validation_fraction must be above 0 and below 1, got {validation_fraction}"
        )
    names, counts = _classes(labels)
    for name, count in zip(names, counts, strict=True):
        if count < 2:
            raise ValueError(f"class {name} must have at least two images to be split, got {count}")
    shares = counts * validation_fraction
    taken = _apportion(shares, round(len(labels) * validation_fraction)).clip(1, counts - 1)
    validation = _draw(labels, names, taken, seed)
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def subset(labels: npt.NDArray[Any], *, limit: int, seed: int) -> Indices:
    """Choose at most ``limit`` images, each class by its share and at least one of each.

    Args:
        labels: integers of shape (N,).
        limit: how many images, at least the number of classes; all are taken if there are fewer.
        seed: the same seed gives the same images.

    Returns:
        Their indices, ascending.

    Raises:
        ValueError: an argument out of range.
    """
    names, counts = _classes(labels)
    if limit < len(names):
        raise ValueError(f"limit must be at least the number of classes, {len(names)}, got {limit}")
    if limit >= len(labels):
        _generator(seed)
        return np.arange(len(labels))
    shares = counts * (limit / len(labels))
    taken = _apportion(shares, limit).clip(1, counts)
    while taken.sum() > limit:  # small classes got their one image: the others give
        excess = np.where(taken > 1, taken - shares, -np.inf)
        taken[np.argmax(excess)] -= 1
    return _draw(labels, names, taken, seed)


def _classes(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Indices]:
    """The classes that occur and how many images each has."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise ValueError(
            "labels must be integers of shape (N,) with N above 0, "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    return np.unique(labels, return_counts=True)


def _apportion(shares: npt.NDArray[np.floating[Any]], total: int) -> Indices:
    """Whole numbers within one of ``shares`` that sum to ``total``, by largest remainder."""
    whole: Indices = np.floor(shares).astype(np.int64)
    missing = max(0, total - int(whole.sum()))
    whole[np.argsort(whole - shares, kind="stable")[:missing]] += 1
    return whole


def _draw(labels: npt.NDArray[Any], names: npt.NDArray[Any], taken: Indices, seed: int) -> Indices:
    generator = _generator(seed)
    drawn = [
        generator.permutation(np.flatnonzero(labels == name))[:count]
        for name, count in zip(names, taken, strict=True)
    ]
    indices: Indices = np.sort(np.concatenate(drawn))
    return indices


def _generator(seed: int) -> np.random.Generator:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed!r}")
    return np.random.default_rng(seed)
