"""The training images that a config names."""

from __future__ import annotations

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet, load
from snas_tune.data.split import require_two
from snas_tune.training.batches import require_square


def load_images(config: SearchConfig) -> ImageSet:
    """Load the training images of ``config.data``; see :func:`snas_tune.data.load` for its errors.

    Raises:
        ValueError: the images are not square, or a class has one image only.
    """
    images = load(
        config.data,
        root=config.data_root,
        image_size=config.image_size,
        channels=config.image_channels,
        bad_images=config.bad_images,
        cache_dir=config.data_cache,
    )
    require_square(images, config.data)
    require_two(images.labels, images.classes, config.data)
    return images
