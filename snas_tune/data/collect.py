"""Image files of a source with labels: decoded, checked, and with the record of what was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from snas_tune.data.entries import readable_endings
from snas_tune.data.found import (
    UNREADABLE,
    Found,
    LeftOut,
    counts_of,
    few,
    few_of,
    left_out,
    shown,
)
from snas_tune.data.gather import NOTHING, Gathered, gather
from snas_tune.data.images import Flags, ImageSet, Labels, open_image, require_classes
from snas_tune.data.request import Request


class Labelled(Protocol):
    """Files with a class each, in the order of their rows."""

    @property
    def where(self) -> Path | str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> Labels: ...
    @property
    def validation(self) -> Flags | None: ...
    @property
    def parts(self) -> dict[str, str]: ...
    @property
    def left_out(self) -> dict[str, LeftOut]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


def gather_files(
    items: Iterable[tuple[int, str, Path | bytes]],
    count: int,
    request: Request,
    bad: Mapping[str, str] = NOTHING,
) -> Gathered:
    """Decode image files into one array; arguments and errors as of :func:`~.gather.gather`."""
    readable_endings()  # which brings HEIC, also to images that have no ending
    sizes: set[tuple[int, int]] = set()

    def picture(source: Path | bytes, name: str):  # type: ignore[no-untyped-def]
        return open_image(source, name, request.image_size, sizes.add)

    gathered = gather(items, count, picture, request, bad)
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return replace(gathered, sizes=(ordered[0], ordered[-1]) if ordered else None)


def images_of(labelled: Labelled, gathered: Gathered, request: Request) -> ImageSet:
    """The set of the images that could be used, with its record.

    Raises:
        ValueError: too few are left, or none of a class; a class must keep one training image, too.
    """
    labels = labelled.labels[gathered.rows]
    given = labelled.validation
    validation = None if given is None else given[gathered.rows]
    if gathered.bad:
        require_left(labelled, labels, validation)
    bad = left_out({UNREADABLE: gathered.bad})
    notes = [f"unreadable images left out: {few_of(one)}" for one in bad.values()]
    found = Found(
        spec=request.spec,
        classes=labelled.classes,
        counts=counts_of(labels, labelled.classes),
        channels=gathered.images.shape[1],
        sizes=gathered.sizes,
        validation=0 if validation is None else int(validation.sum()),
        parts=labelled.parts,
        left_out={**labelled.left_out, **bad},
        notes=(*labelled.notes, *notes),
    )
    return ImageSet(gathered.images, labels, labelled.classes, validation=validation, found=found)


def require_left(labelled: Labelled, labels: Labels, validation: Flags | None) -> None:
    """Refuse to leave out all training images of a class, or all validation images.

    Args:
        labelled: all images.
        labels: of those that are left.
        validation: which of those are validation images.

    Raises:
        ValueError: the classes, or the source, that would be left without.
    """
    given = labelled.validation
    before = labelled.labels if given is None else labelled.labels[~given]
    after = labels if validation is None else labels[~validation]
    lost = [labelled.classes[i] for i in np.setdiff1d(before, after)]
    where = shown(labelled.where)
    if lost:
        raise ValueError(
            f"each class must have at least one readable image, got none of {few(lost)} in {where}"
        )
    if validation is not None and not validation.any():
        raise ValueError(f"validation images must be readable, got none that is in {where}")
    require_classes(labelled.classes, labels, where)


def with_found(
    images: ImageSet, request: Request, names: Mapping[str, Iterable[str]] = NOTHING
) -> ImageSet:
    """The same images with a record, where the source gives none itself.

    Args:
        images: of the source.
        request: to which they are the answer.
        names: of images that were left out, by kind.
    """
    if images.found is not None:
        return replace(images, found=replace(images.found, spec=request.spec))
    height, width = images.images.shape[2:]
    own = request.image_size is None
    found = Found(
        spec=request.spec,
        classes=images.classes,
        counts=counts_of(images.labels, images.classes),
        channels=images.images.shape[1],
        sizes=((width, height), (width, height)) if own else None,
        left_out=left_out(names),
    )
    return replace(images, found=found)
