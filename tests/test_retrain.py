"""A child's own training against the same written out with torch's parts."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY

from snas_tune.config import SearchConfig
from snas_tune.search.search import Search
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.training.augment import augment
from snas_tune.training.batches import batch_indices
from snas_tune.training.child import Retraining, train_child
from snas_tune.training.diverged import SearchDiverged
from snas_tune.training.seeds import generator_for

AUGMENTED = SearchConfig(**TINY, crop_padding=1, cutout=2)


@pytest.fixture(scope="module")
def search() -> Search:
    return Search(AUGMENTED)


def trained(search: Search, **settings: float) -> ChildNetwork:
    child = search.child()
    train_child(search, child, Retraining(**{"epochs": 1, **settings}))
    return child


def equal(one: ChildNetwork, other: ChildNetwork) -> bool:
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
        images = augment(images, AUGMENTED, generator_for(seed, "child augment", step))
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
    retraining = Retraining(epochs=epochs, learning_rate=0.1)
    rates = [retraining.learning_rate_at(step, 10 * epochs) for step in range(10 * epochs + 1)]
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert rates[5 * epochs] == pytest.approx(0.05)
    assert rates[-1] == pytest.approx(0)


def test_drop_path_grows_along_a_line_from_0(search):
    retraining = Retraining(epochs=4, drop_path=0.2)
    assert [retraining.drop_path_at(e) for e in range(4)] == pytest.approx([0, 0.05, 0.1, 0.15])
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
    train_child(search, child, Retraining(epochs=4), reports.append)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert reports[-1].loss < reports[0].loss < 2 * math.log(10)
    assert reports[-1].accuracy == search.child_accuracy(child)
    assert not child.training
    assert not trained(search).training  # also where nobody asks for its accuracy


def test_no_epochs_leave_the_child_as_it_was(search):
    assert equal(trained(search, epochs=0), search.child())


def test_the_gradient_is_clipped(search):
    child, start = search.child(), search.child()
    train_child(search, child, Retraining(epochs=1, clip=1e-6, decay=0.0, momentum=0.0))
    moved = [a - b for a, b in zip(child.parameters(), start.parameters(), strict=True)]
    far = torch.cat([m.flatten() for m in moved]).norm().item()
    assert 0 < far <= 1.1 * 0.025 * 1e-6 * search.steps_per_epoch + 1e-6  # float32 rounds weights


def test_a_loss_that_is_no_number_ends_the_training(search):
    message = r"^loss must be finite, got (nan|inf) in epoch 1 of a child$"
    with pytest.raises(SearchDiverged, match=message):
        trained(search, learning_rate=1e30)


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
        ({"decay": -1.0}, "decay must be 0 or more, got -1.0"),
    ],
)
def test_a_wrong_setting_is_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Retraining(**{"epochs": 1, **settings})
