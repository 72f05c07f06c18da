"""A network's training against the same written out with torch's parts."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY
from torch import nn

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.search.search import Search
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.training.augment import Augmentation, augment
from snas_tune.training.batches import SplitImages, batch_indices, split_images
from snas_tune.training.diverged import Diverged
from snas_tune.training.evaluate import accuracy
from snas_tune.training.runtime import Runtime
from snas_tune.training.seeds import generator_for
from snas_tune.training.train import EpochReport, Training, train

AUGMENTATION = Augmentation(crop_padding=1, cutout=2)


@pytest.fixture(scope="module")
def search() -> Search:
    return Search(SearchConfig(**TINY))


def training(**settings: object) -> Training:
    own = {"epochs": 1, "batch_size": 16, "augmentation": AUGMENTATION}
    return Training(**{**own, **settings})


def trained(search: Search, **settings: float) -> ChildNetwork:
    child = search.child()
    train(child, search.data, search.runtime, training(**settings))
    return child


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_steps_are_those_of_torchs_sgd_along_its_cosine(search):
    epochs, seed = 2, 5
    expected, steps = search.child(), search.steps_per_epoch
    optimiser = torch.optim.SGD(expected.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
    expected.train()
    for step in range(epochs * steps):
        index = batch_indices(len(search.data.train), 16, seed, step)
        images = search.data.normalise(search.data.train.pixels[index])
        images = augment(images, AUGMENTATION, generator_for(seed, "child augment", step))
        optimiser.zero_grad()
        F.cross_entropy(expected(images), search.data.train.labels[index]).backward()
        torch.nn.utils.clip_grad_norm_(expected.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    child = trained(search, epochs=epochs, seed=seed)
    for name, value in child.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("epochs", [1, 7])
def test_the_rate_falls_from_its_start_to_0_over_exactly_the_epochs(epochs):
    settings = training(epochs=epochs, learning_rate=0.1)
    rates = [settings.learning_rate_at(step, 10 * epochs) for step in range(10 * epochs + 1)]
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert rates[5 * epochs] == pytest.approx(0.05)
    assert rates[-1] == pytest.approx(0)


def test_drop_path_grows_along_a_line_from_0(search):
    settings = training(epochs=4, drop_path=0.2)
    assert [settings.drop_path_at(e) for e in range(4)] == pytest.approx([0, 0.05, 0.1, 0.15])
    assert equal(trained(search), trained(search, drop_path=0.5))  # its first epoch has none
    assert not equal(trained(search, epochs=2), trained(search, epochs=2, drop_path=0.5))


def test_the_seed_fixes_the_child_and_nothing_outside_it_changes(search):
    weights = copy.deepcopy(search.supernet.state_dict())
    state = torch.random.get_rng_state()
    first = trained(search, epochs=2, drop_path=0.3, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    again = trained(search, epochs=2, drop_path=0.3, seed=1)
    torch.random.set_rng_state(state)
    assert equal(first, again)
    assert not equal(first, trained(search, epochs=2, drop_path=0.3, seed=2))
    assert all(torch.equal(value, weights[n]) for n, value in search.supernet.state_dict().items())
    assert search.step == 0


def test_every_epoch_is_reported_and_the_loss_falls(search):
    reports = []
    child = search.child()
    train(child, search.data, search.runtime, training(epochs=4), reports.append)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert reports[-1].loss < reports[0].loss < 2 * math.log(10)
    assert reports[-1].accuracy == search.child_accuracy(child)
    assert not child.training
    assert not trained(search).training  # also where nobody asks for its accuracy


def test_no_epochs_leave_the_child_as_it_was(search):
    assert equal(trained(search, epochs=0), search.child())


def test_the_gradient_is_clipped(search):
    child, start = search.child(), search.child()
    settings = training(clip=1e-6, decay=0.0, momentum=0.0)
    train(child, search.data, search.runtime, settings)
    moved = [a - b for a, b in zip(child.parameters(), start.parameters(), strict=True)]
    far = torch.cat([m.flatten() for m in moved]).norm().item()
    assert 0 < far <= 1.1 * 0.025 * 1e-6 * search.steps_per_epoch + 1e-6  # float32 rounds weights


def test_a_loss_that_is_no_number_ends_the_training(search):
    message = r"^loss must be finite, got (nan|inf) in epoch 1$"
    with pytest.raises(Diverged, match=message):
        trained(search, learning_rate=1e30)


class Plain(nn.Sequential):
    """A network that knows nothing of cells."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(144, 3)
        )


class WithDropPath(Plain):
    """The same, which notes the drop path of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[float] = []

    def forward(self, images: torch.Tensor, drop_path: float = 0.0) -> torch.Tensor:
        self.calls.append(drop_path)
        return super().forward(images)


def brightness_images() -> SplitImages:
    """Images whose class is how bright they are."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    pixels = generator.integers(0, 80, (60, 3, 8, 8)) + 80 * labels.reshape(-1, 1, 1, 1)
    images = ImageSet(pixels.astype(np.uint8), labels, ("dark", "grey", "bright"))
    return split_images(images, torch.device("cpu"))


RUNTIME = Runtime(torch.device("cpu"), None, channels_last=False, compile=False)


def plain_network(**settings: float) -> Plain:
    torch.manual_seed(0)
    return Plain(**settings)


def test_any_network_learns_labelled_images_without_a_search():
    data, network, reports = brightness_images(), plain_network(), []
    before = accuracy(network, data.validation, data.normalise, RUNTIME, 5)
    train(network, data, RUNTIME, Training(epochs=20, batch_size=12), reports.append)
    assert before < reports[-1].accuracy == 1.0
    assert all(isinstance(report, EpochReport) for report in reports)
    assert not network.training


def test_dropout_follows_from_the_seed_and_leaves_the_global_state():
    found = []
    for seed in (0, 0, 1):
        network = plain_network(dropout=0.5)
        torch.manual_seed(len(found))
        state = torch.random.get_rng_state()
        train(network, brightness_images(), RUNTIME, Training(epochs=2, batch_size=12, seed=seed))
        assert torch.equal(torch.random.get_rng_state(), state)
        found.append(network)
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_drop_path_is_handed_to_a_network_that_has_it():
    network = WithDropPath()
    settings = Training(epochs=2, batch_size=24, drop_path=0.2)
    train(network, brightness_images(), RUNTIME, settings)
    assert network.calls == [0.0, 0.0, 0.1, 0.1]


def test_drop_path_is_refused_for_a_network_that_has_none():
    network = plain_network()
    message = r"^drop_path must be 0 for Plain, whose forward has no argument drop_path, got 0\.3$"
    with pytest.raises(ValueError, match=message):
        train(
            network, brightness_images(), RUNTIME, Training(epochs=1, batch_size=12, drop_path=0.3)
        )
    assert equal(network, plain_network())


def test_training_images_that_fill_no_batch_are_refused():
    message = "^batch_size must be at most the 48 training images, got 64$"
    with pytest.raises(ValueError, match=message):
        train(plain_network(), brightness_images(), RUNTIME, Training(epochs=0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": -3}, "epochs must be a whole number, 0 or more, got -3"),
        ({"epochs": 1.5}, "epochs must be a whole number, 0 or more, got 1.5"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"clip": math.nan}, "clip must be positive, got nan"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
        ({"drop_path": -0.1}, "drop_path must be at least 0 and below 1, got -0.1"),
        ({"learning_rate": "fast"}, "learning_rate must be positive, got 'fast'"),
        ({"learning_rate": math.inf}, "learning_rate must be positive and finite, got inf"),
        ({"clip": None}, "clip must be positive, got None"),
        ({"momentum": "0.9"}, "momentum must be at least 0 and below 1, got '0.9'"),
        ({"decay": True}, "decay must be 0 or more, got True"),
        ({"batch_size": 1}, "batch_size must be a whole number, 2 or more, got 1"),
        ({"evaluation_batch_size": 0}, "evaluation_batch_size must be a positive .*, got 0"),
        ({"augmentation": None}, "augmentation must be a value of Augmentation, got None"),
        ({"augmentation": {}}, "augmentation must be a value of Augmentation, got {}"),
        ({"decay": -1.0}, "decay must be 0 or more, got -1.0"),
    ],
)
def test_a_wrong_setting_is_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Training(**{"epochs": 1, **settings})
