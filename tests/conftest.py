from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.files import cache_directory
from snas_tune.space.cell.kernels import bindings

TINY = {
    "cells": 3,
    "channels": 4,
    "nodes": 1,
    "epochs": 3,
    "batch_size": 16,
    "limit_images": 120,
    "recalibration_batches": 2,
    "threads": 1,
}
"""A real search on the shipped digits that takes well under a second an epoch."""


def link_kernels(source: Path, target: Path) -> None:
    """Give a cache the compiled kernels of another, as they take long to make."""
    for path in source.glob("fused-*.so"):
        (target / path.name).symlink_to(path)


@pytest.fixture(scope="session", autouse=True)
def own_table_of_implementations(tmp_path_factory):
    """What is measured here stays out of the user's cache."""
    cache = tmp_path_factory.mktemp("cache")
    bindings.library()
    link_kernels(cache_directory().resolve(), cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNAS_TUNE_CACHE", str(cache))
        yield


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def tiny() -> SearchConfig:
    return SearchConfig(**TINY)


@pytest.fixture
def noise_images() -> ImageSet:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (60, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 3
    return ImageSet(pixels, labels.astype(np.int64), ("a", "b", "c"))
