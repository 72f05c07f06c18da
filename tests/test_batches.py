from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.data import ImageSet
from snas_tune.training import batches as batches_module
from snas_tune.training.augment import Augmentation, augment
from snas_tune.training.batches import (
    batch_indices,
    in_order,
    split_images,
    steps_per_epoch,
)
from snas_tune.training.seeds import generator_for

CPU = torch.device("cpu")
SIDE = 5


def distinct(batch: int, channels: int = 2) -> torch.Tensor:
    """The same image of all different pixels, none of them 0, ``batch`` times."""
    image = 1.0 + torch.arange(channels * SIDE * SIDE).view(1, channels, SIDE, SIDE)
    return image.expand(batch, -1, -1, -1)


def index_of(image: torch.Tensor, choices: list[torch.Tensor]) -> int:
    """Which of ``choices`` the image is; exactly one, as all of them differ."""
    (found,) = [i for i, choice in enumerate(choices) if torch.equal(image, choice)]
    return found


def about_evenly(drawn: list[int], choices: int) -> bool:
    """Whether every choice was drawn as often as the others, within five standard deviations."""
    counts = np.bincount(drawn, minlength=choices)
    expected = len(drawn) / choices
    return len(counts) == choices and bool((abs(counts - expected) < 5 * expected**0.5).all())


@settings(deadline=None)
@given(st.integers(2, 60), st.data())
def test_an_epoch_is_whole_batches_of_one_permutation(images, data):
    size = data.draw(st.integers(1, images))
    seed = data.draw(st.integers(0, 99))
    steps = images // size
    epochs = [
        [batch_indices(images, size, seed, epoch * steps + i) for i in range(steps)]
        for epoch in range(3)
    ]
    for batches in epochs:
        assert all(batch.shape == (size,) for batch in batches)
        seen = torch.cat(batches).tolist()
        assert len(set(seen)) == len(seen) == steps * size
        assert set(seen) <= set(range(images))


def test_every_epoch_and_seed_has_its_own_order_and_every_image_its_turn():
    orders = [
        tuple(torch.cat([batch_indices(10, 3, seed, 3 * epoch + i) for i in range(3)]).tolist())
        for seed in range(2)
        for epoch in range(20)
    ]
    assert len(set(orders)) == len(orders)
    assert set(itertools.chain(*orders[:20])) == set(range(10))  # the one left out differs
    assert torch.equal(batch_indices(10, 3, 1, 7), batch_indices(10, 3, 1, 7))


def test_without_augmentation_the_images_stay():
    images = distinct(4)
    assert torch.equal(augment(images, Augmentation(), generator_for(0, "test", 0)), images)


@pytest.mark.parametrize("padding", [1, 2])
def test_a_crop_is_any_window_of_the_padded_image(padding):
    batch, widest = 4000, 2 * padding + 1
    images = distinct(batch)
    cropped = augment(images, Augmentation(crop_padding=padding), generator_for(0, "test", 0))
    padded = F.pad(images[0], (padding,) * 4)
    windows = [
        padded[:, top : top + SIDE, left : left + SIDE]
        for top in range(widest)
        for left in range(widest)
    ]
    assert about_evenly([index_of(image, windows) for image in cropped], widest**2)


def test_half_of_the_images_are_mirrored_left_to_right():
    images = distinct(1000)
    flipped = augment(images, Augmentation(flip=True), generator_for(0, "test", 0))
    mirrored = images[0].numpy()[:, :, ::-1].copy()
    choices = [images[0], torch.from_numpy(mirrored)]
    assert about_evenly([index_of(image, choices) for image in flipped], 2)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_cutout_zeroes_a_square_around_any_pixel(size):
    images = distinct(3000)
    cut = augment(images, Augmentation(cutout=size), generator_for(0, "test", 0))
    choices = []
    for row, column in itertools.product(range(SIDE), repeat=2):
        image = images[0].clone()
        for y, x in itertools.product(range(SIDE), repeat=2):
            before = size // 2
            if -before <= y - row < size - before and -before <= x - column < size - before:
                image[:, y, x] = 0
        choices.append(image)
    assert about_evenly([index_of(image, choices) for image in cut], SIDE**2)


def test_augmentation_follows_from_its_generator_alone():
    augmentation = Augmentation(crop_padding=2, flip=True, cutout=2)
    images = distinct(16)
    torch.manual_seed(1)
    first = augment(images, augmentation, generator_for(3, "augment", 5))
    torch.manual_seed(2)
    assert torch.equal(augment(images, augmentation, generator_for(3, "augment", 5)), first)
    assert not torch.equal(augment(images, augmentation, generator_for(3, "augment", 6)), first)
    assert not torch.equal(first, images)


def test_the_parts_are_disjoint_stratified_and_hold_the_right_labels(noise_images):
    data = split_images(noise_images, CPU, validation_fraction=0.25)
    assert (len(data.train), len(data.validation)) == (45, 15)
    assert data.train.classes == ("a", "b", "c")
    assert (data.train.side, data.train.channels) == (8, 3)
    assert torch.bincount(data.validation.labels).tolist() == [5, 5, 5]
    label_of = {
        image.tobytes(): label
        for image, label in zip(noise_images.images, noise_images.labels, strict=True)
    }
    seen = []
    for part in (data.train, data.validation):
        for pixels, label in zip(part.pixels, part.labels, strict=True):
            assert label_of[pixels.numpy().tobytes()] == label
            seen.append(pixels.numpy().tobytes())
    assert len(set(seen)) == len(seen) == 60


def test_training_images_are_normalised_with_statistics_that_validation_did_not_see(noise_images):
    images = ImageSet(noise_images.images.copy(), noise_images.labels, noise_images.classes)
    data = split_images(images, CPU)
    normal = data.normalise(data.train.pixels).double()
    assert normal.mean((0, 2, 3)).abs().max() < 1e-5
    assert (normal.std((0, 2, 3), unbiased=False) - 1).abs().max() < 1e-5
    pixels = data.train.pixels.double()
    mean = pixels.mean((0, 2, 3)).view(-1, 1, 1)
    deviation = pixels.std((0, 2, 3), unbiased=False).view(-1, 1, 1)
    torch.testing.assert_close(
        data.normalise(data.validation.pixels).double(),
        (data.validation.pixels.double() - mean) / deviation,
        rtol=1e-5,
        atol=1e-5,
    )


def test_images_of_one_colour_are_normalised_to_zero_and_not_to_nan():
    images = ImageSet(np.full((8, 1, 4, 4), 200, np.uint8), np.arange(8) % 2, ("a", "b"))
    data = split_images(images, CPU)
    assert (data.normalise(data.train.pixels) == 0).all()


def test_channels_last_changes_the_memory_format_and_no_value(noise_images):
    data = split_images(noise_images, CPU)
    plain = data.normalise(data.train.pixels)
    fast = data.normalise(data.train.pixels, channels_last=True)
    assert torch.equal(plain, fast)
    assert fast.is_contiguous(memory_format=torch.channels_last)


def test_a_limit_takes_a_subset_of_every_class(noise_images):
    data = split_images(noise_images, CPU, limit=20, validation_fraction=0.3)
    assert (len(data.train), len(data.validation)) == (14, 6)
    total = torch.bincount(data.train.labels) + torch.bincount(data.validation.labels)
    assert sorted(total.tolist()) == [6, 7, 7]


def test_read_only_images_of_a_cache_serve_as_well(noise_images):
    frozen = noise_images.images.copy()
    frozen.flags.writeable = False
    images = ImageSet(frozen, noise_images.labels, noise_images.classes)
    a, b = split_images(images, CPU), split_images(noise_images, CPU)
    assert torch.equal(a.train.pixels, b.train.pixels)


@pytest.mark.parametrize(("limit", "sizes"), [(200, 1), (None, 2)])
def test_a_memory_map_is_neither_copied_nor_converted_as_a_whole(tmp_path, limit, sizes):
    """The parts are copies; a copy of the whole and its float64 would come on top."""
    np.save(tmp_path / "images.npy", np.full((2000, 3, 64, 64), 7, np.uint8))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    images = ImageSet(mapped, np.arange(2000) % 2, ("a", "b"))
    tracemalloc.start()
    data = split_images(images, CPU, limit=limit)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data.train) == 0.8 * (limit or 2000)
    assert data.normalise.mean.flatten().tolist() == [7.0] * 3
    assert peak < sizes * mapped.nbytes
    assert data.train.pixels.numpy().flags.writeable


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), st.integers(1, 3), st.sampled_from([1, 48, 1 << 22]))
def test_the_statistics_are_those_of_float64(seed, channels, block):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (20, channels, 5, 4), dtype=np.uint8)
    rows = generator.permutation(20)[:13]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches_module, "BLOCK", block)
        mean, deviation = batches_module._measure(pixels, rows)
    whole = pixels[rows].astype(np.float64)
    np.testing.assert_allclose(mean, whole.mean((0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(deviation, whole.std((0, 2, 3)), rtol=1e-12)


def test_a_limit_that_leaves_a_class_too_few_images_to_be_split_is_refused(noise_images):
    message = "^limit_images must be at least 6, 2 of each of 3 classes, got 5$"
    with pytest.raises(ValueError, match=message):
        split_images(noise_images, CPU, limit=5)
    data = split_images(noise_images, CPU, limit=6)
    assert torch.bincount(data.train.labels).tolist() == [1, 1, 1]


def test_the_seed_fixes_the_parts(noise_images):
    a, b, c = (split_images(noise_images, CPU, seed=seed).train.pixels for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_training_images_that_fill_no_batch_are_refused():
    for ask in (steps_per_epoch, lambda *sizes: batch_indices(*sizes, seed=0, step=0)):
        with pytest.raises(
            ValueError, match=r"^batch_size must be at most the 48 training images, got 49$"
        ):
            ask(48, 49)
    assert [steps_per_epoch(48, size) for size in (48, 25, 24, 1)] == [1, 1, 2, 48]


def test_images_that_are_not_square_are_not_split():
    oblong = ImageSet(np.zeros((8, 1, 6, 4), np.uint8), np.arange(8) % 2, ("a", "b"))
    with pytest.raises(ValueError, match=r"^images must be square, got 6 x 4: set image_size$"):
        split_images(oblong, CPU)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_padding": -1}, "crop_padding must be a whole number, 0 or more, got -1"),
        ({"crop_padding": 1.5}, "crop_padding must be a whole number, 0 or more, got 1.5"),
        ({"flip": 1}, "flip must be true or false, got 1"),
        ({"cutout": "16"}, "cutout must be a whole number, 0 or more, got '16'"),
    ],
)
def test_a_wrong_augmentation_is_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Augmentation(**settings)


def test_in_order_gives_every_image_once(noise_images):
    images = split_images(noise_images, CPU).validation
    batches = list(in_order(images, 5))
    assert [len(labels) for _, labels in batches] == [5, 5, 2]
    assert torch.equal(torch.cat([pixels for pixels, _ in batches]), images.pixels)
    assert torch.equal(torch.cat([labels for _, labels in batches]), images.labels)
