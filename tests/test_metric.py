"""Accuracy by two metrics: the share of all images, and the mean of the classes' shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import TINY
from front_rows import row

from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.front.text import front_text
from snas_tune.pictures import front_figure
from snas_tune.results import metric_of
from snas_tune.search.search import Search
from snas_tune.sweep import sweep_space
from snas_tune.training.evaluate import accuracies, shares
from snas_tune.training.runtime import choose_runtime


def test_each_class_has_the_same_say_in_balanced_accuracy() -> None:
    found = shares(torch.tensor([1000, 0, 1]), torch.tensor([1000, 3, 2]))
    assert found["accuracy"] == pytest.approx(1001 / 1005)
    assert found["balanced_accuracy"] == pytest.approx((1 + 0 + 0.5) / 3)


def test_a_class_without_images_has_no_say() -> None:
    assert shares(torch.tensor([3, 0, 1]), torch.tensor([4, 0, 4])) == {
        "accuracy": 0.5,
        "balanced_accuracy": 0.5,
    }


def skewed(most: int = 90, few: int = 30) -> ImageSet:
    """Dark and bright noise, most of it dark."""
    labels = np.repeat([0, 1], [most, few])
    noise = np.random.default_rng(0).integers(0, 100, (most + few, 1, 8, 8))
    return ImageSet(
        (noise + 100 * labels[:, None, None, None]).astype(np.uint8), labels, ("a", "b")
    )


def test_the_accuracies_of_a_network_are_counted_by_hand() -> None:
    search = Search(SearchConfig(**{**TINY, "limit_images": None}), skewed())
    data, runtime = search.data, choose_runtime(search.config)

    def first(images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).expand(len(images), 2)

    found = accuracies(first, data.validation, data.normalise, runtime, 7)
    assert found == {"accuracy": 18 / 24, "balanced_accuracy": 0.5}
    broken = accuracies(lambda x: first(x) * math.nan, data.validation, data.normalise, runtime, 7)
    assert all(map(math.isnan, broken.values()))


def test_a_search_measures_by_its_metric_and_trains_alike() -> None:
    reports = {}
    for metric in ("accuracy", "balanced_accuracy"):
        search = Search(
            SearchConfig(**{**TINY, "limit_images": None, "metric": metric}), skewed(100, 20)
        )
        search.take_step()
        reports[metric] = search.evaluate()
        child = search.child()
        found = search.child_accuracies(child)
        assert reports[metric]["child_accuracy"] == found[metric] == search.child_accuracy(child)
    plain, balanced = reports["accuracy"], reports["balanced_accuracy"]
    assert plain["architecture"] == balanced["architecture"]
    assert plain["child_accuracy"] != balanced["child_accuracy"]


def test_configs_of_plain_accuracy_keep_their_fingerprint() -> None:
    assert "metric" not in SearchConfig().to_dict()
    assert SearchConfig(metric="balanced_accuracy").to_dict()["metric"] == "balanced_accuracy"


def test_a_front_compares_one_metric() -> None:
    from ray import tune

    with pytest.raises(ValueError, match=r"^metric must be the same in all trials"):
        sweep_space(metric=tune.choice(["accuracy", "balanced_accuracy"]))


BALANCED = SearchConfig(metric="balanced_accuracy").to_json()


def test_table_and_picture_name_the_metric() -> None:
    rows = [row(config=BALANCED)]
    assert metric_of(rows) == "balanced_accuracy"
    assert front_text(rows).startswith("acc %: balanced validation accuracy (each class alike) of")
    points = [{"child_accuracy": 0.5, "flops": 10, "on_front": True, "config": BALANCED}]
    (axes, *_) = front_figure(points).axes
    assert axes.get_ylabel() == "balanced validation accuracy of the child (%)"


@pytest.mark.parametrize("config", ["", "[]", "{", "null", SearchConfig().to_json(), None])
def test_rows_that_say_nothing_are_by_plain_accuracy(config: object) -> None:
    assert metric_of([{"config": config}]) == metric_of([]) == metric_of([{}]) == "accuracy"
