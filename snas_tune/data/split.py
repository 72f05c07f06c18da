"""The split of images into training and validation: stratified, fixed by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from snas_tune.arguments import checked
from snas_tune.checks import COUNT, COUNT_OR_ZERO, OPEN_SHARE, Check, check_value
from snas_tune.data.images import AN_ARRAY, CLASS_NAMES

Indices = npt.NDArray[np.int64]

FLAGS = Check(
    lambda value: isinstance(value, np.ndarray) and value.dtype == np.bool_, "an array of bools"
)


@checked
def split(
    labels: Annotated[npt.NDArray[Any], AN_ARRAY],
    *,
    validation_fraction: Annotated[float, OPEN_SHARE],
    seed: Annotated[int, COUNT_OR_ZERO],
    classes: Annotated[Sequence[str] | None, CLASS_NAMES] = None,
) -> tuple[Indices, Indices]:
    """Divide images into a training and a validation part.

    Of each class the validation part holds its share within one image, and both parts hold at
    least one image.

    Args:
        labels: integers of shape (N,).
        validation_fraction: share of the validation part, above 0 and below 1.
        seed: the same seed gives the same parts.
        classes: their names, for messages; None where they have none.

    Returns:
        Indices of the training and of the validation images, each ascending.

    Raises:
        ValueError: an argument out of range, or a class of one image.
    """
    require_two(labels, classes)
    names, counts = _classes(labels)
    shares = counts * validation_fraction
    taken = _apportion(shares, round(len(labels) * validation_fraction)).clip(1, counts - 1)
    validation = _draw(labels, names, taken, seed)
    return np.setdiff1d(np.arange(len(labels)), validation), validation


@checked
def split_rows(
    labels: Annotated[npt.NDArray[Any], AN_ARRAY],
    given: Annotated[npt.NDArray[np.bool_] | None, FLAGS] = None,
    *,
    validation_fraction: Annotated[float, OPEN_SHARE],
    seed: Annotated[int, COUNT_OR_ZERO],
    limit: int | None = None,
    classes: Annotated[Sequence[str] | None, CLASS_NAMES] = None,
) -> tuple[Indices, Indices]:
    """The rows of the training and of the validation images.

    Args:
        labels: integers of shape (N,).
        given: shape (N,), which are validation images; :func:`split` chooses if None.
        validation_fraction: as for :func:`split`.
        seed: fixes the parts, and the subset where there is a limit.
        limit: take a stratified subset of so many images, of given parts each by its share.
        classes: as for :func:`split`.

    Raises:
        ValueError: as :func:`split` and :func:`subset`.
    """
    if given is not None:
        return _given_rows(labels, given, limit, seed)

    def parts(rows: Indices) -> tuple[Indices, Indices]:
        return split(
            labels[rows], validation_fraction=validation_fraction, seed=seed, classes=classes
        )

    train, validation = parts(np.arange(len(labels)))  # also with a limit: refuses one image
    if limit is None:
        return train, validation
    keep = subset(labels, limit=limit, seed=seed, least=2)
    train, validation = parts(keep)
    return keep[train], keep[validation]


def _given_rows(
    labels: npt.NDArray[Any], given: npt.NDArray[np.bool_], limit: int | None, seed: int
) -> tuple[Indices, Indices]:
    train, validation = np.flatnonzero(~given), np.flatnonzero(given)
    if limit is None or limit >= len(labels):
        return train, validation
    share = round(limit * len(validation) / len(labels))
    wanted = (limit - share, share)
    train, validation = (
        rows[subset(labels[rows], limit=count, seed=seed)]
        for rows, count in zip((train, validation), wanted, strict=True)
    )
    return train, validation


def require_two(
    labels: npt.NDArray[Any], classes: Sequence[str] | None = None, where: str = ""
) -> None:
    """Refuse labels that :func:`split` cannot divide.

    Args:
        labels: integers of shape (N,).
        classes: the names of the classes; None where they have none.
        where: the source that the message names, if any.

    Raises:
        ValueError: a class, or every class, has one image only.
    """
    names, counts = _classes(labels)
    place = f" in {where}" if where else ""
    if len(names) > 1 and counts.max() < 2:
        raise ValueError(
            f"data must have at least two images of each class, got {len(names)} classes and "
            f"{int(counts.sum())} images{place}"
        )
    for name, count in zip(names, counts, strict=True):
        if count < 2:
            shown = int(name) if classes is None else repr(classes[int(name)])
            raise ValueError(f"class {shown} must have at least two images, got {count}{place}")


@checked
def subset(
    labels: Annotated[npt.NDArray[Any], AN_ARRAY],
    *,
    limit: int,
    seed: Annotated[int, COUNT_OR_ZERO],
    least: Annotated[int, COUNT] = 1,
) -> Indices:
    """Choose at most ``limit`` images, each class by its share and at least ``least`` of each.

    Args:
        labels: integers of shape (N,).
        limit: number of images; all of them if there are fewer.
        seed: the same seed gives the same images.
        least: of each class, or all of a class that has fewer.

    Returns:
        Their indices, ascending.

    Raises:
        ValueError: an argument out of range.
    """
    check_value("limit_images", limit, COUNT)
    names, counts = _classes(labels)
    if limit < least * len(names):
        raise ValueError(
            f"limit_images must be at least {least * len(names)}, {least} of each of "
            f"{len(names)} classes, got {limit}"
        )
    if limit >= len(labels):
        _generator(seed)
        return np.arange(len(labels))
    shares = counts * (limit / len(labels))
    taken = _apportion(shares, limit).clip(np.minimum(least, counts), counts)
    while taken.sum() > limit:  # small classes got their few images: the others give
        excess = np.where(taken > least, taken - shares, -np.inf)
        taken[np.argmax(excess)] -= 1
    return _draw(labels, names, taken, seed)


def _classes(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Indices]:
    """The classes that occur, and the number of images of each."""
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
    seed = check_value("seed", seed, COUNT_OR_ZERO)
    return np.random.default_rng(seed)
