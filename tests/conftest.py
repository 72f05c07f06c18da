from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.owned import cache_directory
from snas_tune.space.cell.kernels import bindings

settings.register_profile("house", deadline=None)
settings.load_profile("house")  # a slow machine fails no test

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


def copy_kernels(source: Path, target: Path) -> None:
    """Give a cache the compiled kernels of another, as they take long to make."""
    for path in source.glob("fused-*.so"):
        shutil.copyfile(path, target / path.name)


@pytest.fixture(scope="session", autouse=True)
def own_table_of_implementations(tmp_path_factory):
    """What is measured here stays out of the user's cache."""
    cache = tmp_path_factory.mktemp("cache")
    bindings.library()
    copy_kernels(cache_directory(), cache)
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


@pytest.fixture(scope="module")
def browser():
    from browsers import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A sweep's folder, and its front."""
    from pareto_logs import write_sweep

    folder = tmp_path_factory.mktemp("written")
    return folder, write_sweep(folder, trials=10, epochs=4)


@pytest.fixture(scope="module")
def server(written):
    from pareto_logs import serve

    with serve(written[0] / "tensorboard") as tensorboard:
        yield tensorboard.with_points(len(written[1]))


@pytest.fixture(scope="module")
def page(browser, server):
    """One page for the tests of the written sweep; each opens the tab anew."""
    from browsers import Tab

    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    yield Tab(context.new_page(), server.url)
    context.close()
