"""The training images that the description of a sweep records, and those that are there now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snas_tune.data import ImageSet
from snas_tune.search.images import check_same_images, image_record
from snas_tune.sweep.experiment import Description
from snas_tune.sweep.settings import SweepSettings


def recorded_images(path: str) -> Mapping[str, Any] | None:
    """The record of a sweep's training images.

    Args:
        path: of the experiment's directory.

    Returns:
        An :func:`snas_tune.search.images.image_record`; None where there is none that can be read.
    """
    try:
        return Description.read(path).images
    except ValueError:
        return None


def check_recorded(path: str, images: ImageSet, settings: SweepSettings) -> dict[str, Any]:
    """The record of the images that are there now.

    Raises:
        ValueError: a sweep is to be resumed with others than it began with; one line that names
            the classes that differ, or the number of images.
    """
    record = image_record(images)
    if settings.resume:
        check_same_images(recorded_images(path), record, same=True)
    return record
