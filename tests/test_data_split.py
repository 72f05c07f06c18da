"""Stratified parts: shares, disjointness, seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.data import split, subset
from snas_tune.data.split import require_two

COUNTS = st.lists(st.integers(2, 40), min_size=1, max_size=8)
SEEDS = st.integers(0, 2**32)


def labels_of(counts: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@given(COUNTS, st.floats(0.001, 0.999), SEEDS)
@settings(deadline=None, max_examples=200)
def test_split_is_a_stratified_partition(counts: list[int], fraction: float, seed: int) -> None:
    labels = labels_of(counts, seed)
    train, validation = split(labels, validation_fraction=fraction, seed=seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    for part in (train, validation):
        assert list(part) == sorted(part)
        assert set(labels[part]) == set(range(len(counts)))
    for name, count in enumerate(counts):
        assert abs((labels[validation] == name).sum() - fraction * count) < 1 + 1e-9


@given(st.lists(st.integers(20, 40), min_size=1, max_size=8), st.floats(0.1, 0.9), SEEDS)
@settings(deadline=None)
def test_split_takes_the_fraction_of_the_whole(
    counts: list[int], fraction: float, seed: int
) -> None:
    labels = labels_of(counts, seed)
    _, validation = split(labels, validation_fraction=fraction, seed=seed)
    assert len(validation) == round(len(labels) * fraction)


@given(COUNTS, st.integers(0, 400), SEEDS)
@settings(deadline=None, max_examples=200)
def test_subset_has_exactly_the_limit_and_every_class(
    counts: list[int], extra: int, seed: int
) -> None:
    labels = labels_of(counts, seed)
    limit = len(counts) + extra
    chosen = subset(labels, limit=limit, seed=seed)
    assert len(chosen) == min(limit, len(labels))
    assert list(chosen) == sorted(set(chosen))
    assert set(labels[chosen]) == set(range(len(counts)))


@given(st.lists(st.integers(10, 40), min_size=2, max_size=6), SEEDS)
@settings(deadline=None)
def test_subset_keeps_shares_within_one_where_no_class_is_tiny(
    counts: list[int], seed: int
) -> None:
    labels = labels_of(counts, seed)
    limit = len(labels) // 2
    chosen = subset(labels, limit=limit, seed=seed)
    for name, count in enumerate(counts):
        assert abs((labels[chosen] == name).sum() - count * limit / len(labels)) < 1


def test_small_classes_get_their_image_from_the_largest() -> None:
    labels = np.array([0] * 97 + [1, 2, 3])
    chosen = subset(labels, limit=10, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [7, 1, 1, 1]


def test_the_seed_decides_which_images() -> None:
    labels = labels_of([50, 50], 0)
    first, again, other = (
        split(labels, validation_fraction=0.5, seed=seed)[1].tolist() for seed in (1, 1, 2)
    )
    assert first == again != other
    first, again, other = (subset(labels, limit=30, seed=s).tolist() for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("fraction", [0.0, 1.0, 1.5, -0.1, float("nan"), "half", None])
def test_split_refuses_a_fraction_outside_of_0_to_1(fraction: Any) -> None:
    message = rf"^validation_fraction must be above 0 and below 1, got {fraction!r}$"
    with pytest.raises(ValueError, match=message):
        split(np.array([0, 0, 1, 1]), validation_fraction=fraction, seed=0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({}, "class 1 must have at least two images, got 1"),
        ({"classes": ("cat", "dog")}, "class 'dog' must have at least two images, got 1"),
    ],
)
def test_split_names_the_class_of_one_image(names: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        split(np.array([0, 0, 1]), validation_fraction=0.5, seed=0, **names)
    with pytest.raises(ValueError, match=f"^{message} in pets/$"):
        require_two(np.array([0, 0, 1]), where="pets/", **names)


def test_split_says_when_no_class_has_two_images() -> None:
    message = "data must have at least two images of each class, got 4 classes and 4 images"
    with pytest.raises(ValueError, match=f"^{message}$"):
        split(np.arange(4), validation_fraction=0.5, seed=0)
    with pytest.raises(ValueError, match=f"^{message} in mine:own$"):
        require_two(np.arange(4), where="mine:own")


@pytest.mark.parametrize("limit", [0, 2.5, "2", True, None])
def test_subset_refuses_a_limit_that_is_no_count(limit: Any) -> None:
    message = rf"^limit_images must be a positive whole number, got {limit!r}$"
    with pytest.raises(ValueError, match=message):
        subset(np.array([0, 0, 1, 1]), limit=limit, seed=0)


def test_subset_refuses_a_limit_below_what_the_classes_need() -> None:
    message = "^limit_images must be at least 2, 1 of each of 2 classes, got 1$"
    with pytest.raises(ValueError, match=message):
        subset(np.array([0, 0, 1]), limit=1, seed=0)
    message = "^limit_images must be at least 4, 2 of each of 2 classes, got 3$"
    with pytest.raises(ValueError, match=message):
        subset(np.array([0, 0, 1, 1]), limit=3, seed=0, least=2)


@given(COUNTS, st.integers(0, 400), SEEDS)
@settings(deadline=None, max_examples=200)
def test_what_a_subset_takes_at_least_can_always_be_split(
    counts: list[int], extra: int, seed: int
) -> None:
    labels = labels_of(counts, seed)
    limit = 2 * len(counts) + extra
    chosen = subset(labels, limit=limit, seed=seed, least=2)
    assert len(chosen) == min(limit, len(labels))
    assert np.bincount(labels[chosen]).min() >= 2
    split(labels[chosen], validation_fraction=0.5, seed=seed)


@pytest.mark.parametrize("labels", [np.zeros((2, 2), int), np.zeros(3), np.zeros(0, int)])
def test_labels_must_be_a_row_of_integers(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^labels must be integers of shape \(N,\)"):
        split(labels, validation_fraction=0.5, seed=0)
    with pytest.raises(ValueError, match=r"^labels must be integers of shape \(N,\)"):
        subset(labels, limit=1, seed=0)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
def test_seed_must_be_a_whole_number(seed: Any) -> None:
    message = rf"^seed must be a whole number, 0 or more, got {seed!r}$"
    with pytest.raises(ValueError, match=message):
        split(np.array([0, 0, 1, 1]), validation_fraction=0.5, seed=seed)
    for limit in (2, 9):
        with pytest.raises(ValueError, match=message):
            subset(np.array([0, 0, 1, 1]), limit=limit, seed=seed)
