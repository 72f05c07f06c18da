"""The training images that the description of a sweep records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snas_tune.sweep.experiment import Description


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
