from __future__ import annotations

import numpy as np
import pytest
import torch

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet

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
