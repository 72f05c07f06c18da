"""Parts of the training images, for methods that train weights and choices on different ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.training.batches import parts_of

NAMES = ("weights", "choices", "more")


@settings(deadline=None)
@given(st.integers(3, 200), st.integers(2, 3), st.integers(0, 1000))
def test_parts_are_disjoint_equal_and_fixed_by_the_seed(images, count, seed):
    parts = parts_of(images, NAMES[:count], seed)
    assert [len(part) for part in parts] == [images // count] * count
    rows = torch.cat(parts)
    assert len(rows.unique()) == len(rows) > images - count
    assert 0 <= rows.min() <= rows.max() < images
    again = parts_of(images, NAMES[:count], seed)
    assert all(torch.equal(a, b) for a, b in zip(parts, again, strict=True))


def test_another_seed_cuts_other_parts():
    cuts = {tuple(parts_of(50, NAMES[:2], seed)[0].tolist()) for seed in range(5)}
    assert len(cuts) == 5
    assert tuple(range(25)) not in cuts


def test_every_image_has_its_chance_to_be_in_the_first_part():
    counts = torch.zeros(20)
    for seed in range(400):
        counts[parts_of(20, NAMES[:2], seed)[0]] += 1
    assert ((counts - 200).abs() < 5 * 10).all()  # binomial: deviation 10


def test_the_one_part_of_a_method_is_all_images_in_order():
    (part,) = parts_of(7, ("weights",), 3)
    assert part.tolist() == list(range(7))


def test_fewer_images_than_parts_are_refused():
    with pytest.raises(ValueError, match=r"^training images must be 3 or more, got 2$"):
        parts_of(2, NAMES, 0)
