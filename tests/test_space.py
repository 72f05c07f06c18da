"""A space: what comes for free, and what a space of cells says of itself."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from own_space import TowerSpace
from torch import nn

from snas_tune.architecture import Picks
from snas_tune.config import PENALTY_FORMS, SearchConfig
from snas_tune.space.cell.genotype import Cell, Genotype
from snas_tune.space.choices import Choice
from snas_tune.space.cost import COUNTED, module_cost
from snas_tune.space.space import ImageShape, Space, build_space

IMAGES = ImageShape(8, 1, 4)


class Widths(Space):
    """Two linear layers whose widths are chosen: their weights are a product, no sum."""

    name = "widths"
    choices = (Choice("first", ("2", "5")), Choice("second", ("3", "4", "6")))

    def supernet(self, implementation):
        raise NotImplementedError

    def child(self, architecture, *, affine=False):
        first, second = (int(option) for _, option in architecture.picks)
        pixels = self.images.size**2
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, first), nn.Linear(first, second))


def test_costs_that_add_up_are_counted_for_every_architecture():
    space = TowerSpace(SearchConfig(), IMAGES)
    for name in COUNTED:
        cost = space.cost(name)
        assert cost.name == name
        found = {}
        for picks in itertools.product(range(3), range(2)):
            sample = torch.zeros(2, 3, dtype=torch.float64)
            sample[[0, 1], picks] = 1
            child = space.child(space.derive(picks))
            counted = module_cost(child, torch.zeros(1, 1, 8, 8))[name]
            assert (
                cost.of_sample(sample).item()
                == counted
                == space.child_cost(name, space.derive(picks))
            )
            found[picks] = counted
        assert cost.largest() == max(found.values())
        assert len(set(found.values())) > 3
        logits = torch.tensor([[0.3, -0.2, 0.9], [0.1, 0.5, -torch.inf]], dtype=torch.float64)
        chances = logits.softmax(-1)
        mean = sum(chances[0, a] * chances[1, b] * value for (a, b), value in found.items())
        assert cost.expected(logits).item() == pytest.approx(mean.item())


def test_a_child_is_built_once_to_count_all_its_costs(monkeypatch):
    space, built = TowerSpace(SearchConfig(), IMAGES), []
    child = space.child
    monkeypatch.setattr(space, "child", lambda found: built.append(found) or child(found))
    for name in COUNTED:
        space.cost(name)
    # The first options, each other option beside them, and the last options.
    assert len(built) == len(set(built)) == 1 + 2 + 1 + 1


def test_the_number_of_ops_bounds_sampled_ops_in_cells_alone():
    settings = {"sampling": "top_k", "sampled_ops": 9}
    with pytest.raises(ValueError, match=r"^sampled_ops must be at most the number of ops, 8, got"):
        SearchConfig(**settings)
    SearchConfig(**settings, space="own_space:TowerSpace")


def test_counting_leaves_the_global_random_state_alone():
    state = torch.random.get_rng_state()
    TowerSpace(SearchConfig(), IMAGES).cost("flops")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_costs_that_do_not_add_up_are_refused_by_name():
    space = Widths(SearchConfig(), IMAGES)
    base = (64 + 1) * 2 + (2 + 1) * 3
    whole = (64 + 1) * 5 + (5 + 1) * 6
    added = base + ((64 + 1) * 5 + (5 + 1) * 3 - base) + ((64 + 1) * 2 + (2 + 1) * 6 - base)
    with pytest.raises(
        ValueError,
        match=rf"^params of space widths must add up over its choices, or the space must count it, "
        rf"got {whole} where the sum is {added}$",
    ):
        space.cost("params")


def test_a_cost_that_is_not_counted_is_refused():
    space = TowerSpace(SearchConfig(), IMAGES)
    message = "^cost must be one of flops, params, memory in space tower, got latency_ms$"
    with pytest.raises(ValueError, match=message):
        space.cost("latency_ms")
    with pytest.raises(ValueError, match=r"^space must have layers to measure, got tower, which n"):
        space.layers()


def test_prices_of_several_costs_are_their_weighted_mean():
    space = TowerSpace(SearchConfig(), IMAGES)
    weights = {"flops": 3.0, "memory": 1.0}
    costs = {name: space.cost(name) for name in weights}
    found = space.prices(costs, weights, "linear")
    expected = sum(weights[name] / 4 * cost.prices("linear") for name, cost in costs.items())
    torch.testing.assert_close(found, expected)
    uniform = torch.tensor([[1 / 3] * 3, [1 / 2, 1 / 2, 0]], dtype=torch.float64)
    assert (found * uniform).sum().item() == pytest.approx(1)


def test_architectures_and_options_by_position_are_each_others_inverse():
    space = TowerSpace(SearchConfig(), IMAGES)
    for picks in itertools.product(range(3), range(2)):
        derived = space.derive(picks)
        assert derived == Picks(
            "tower",
            (("layer0", f"conv{(1, 3, 5)[picks[0]]}"), ("layer1", f"conv{(1, 3)[picks[1]]}")),
        )
        assert space.picks(derived) == list(picks)
        assert space.live(derived) == derived


@pytest.mark.parametrize(
    ("picks", "message"),
    [
        (Picks("tower", (("layer0", "conv1"),)), "must have the choices of space tower, got "),
        (
            Picks("other", (("layer0", "conv1"), ("layer1", "conv1"))),
            "must have the choices of space tower, got .* of space other$",
        ),
        (
            Genotype(Cell(1, (), (2,)), Cell(1, (), (2,))),
            "must have the choices of space tower, got .* of space cell$",
        ),
        (
            Picks("tower", (("layer0", "conv1"), ("layer1", "conv5"))),
            "^layer1 must be one of conv1, conv3, got 'conv5'$",
        ),
    ],
)
def test_an_architecture_of_another_space_has_no_picks(picks, message):
    with pytest.raises(ValueError, match=message):
        TowerSpace(SearchConfig(), IMAGES).picks(picks)


def test_the_shape_of_a_space_is_its_choices_and_the_images():
    assert TowerSpace(SearchConfig(), IMAGES).shape() == {
        "choices": {"layer0": ["conv1", "conv3", "conv5"], "layer1": ["conv1", "conv3"]},
        "image_size": 8,
        "image_channels": 1,
        "classes": 4,
    }


def test_the_shape_of_the_cell_space_is_what_a_checkpoint_must_share():
    made = SearchConfig(
        cells=5, channels=8, partial_channels=4, nodes=2, ops=("none", "skip_connect"), image_size=9
    )
    images = ImageShape(9, 3, 7)
    assert build_space(made, images).shape() == {
        "cells": 5,
        "channels": 8,
        "partial": 4,
        "nodes": 2,
        "ops": ["none", "skip_connect"],
        "stem": "cifar",
        "image_size": 9,
        "image_channels": 3,
        "classes": 7,
    }
    same = dataclasses.replace(made, epochs=3, seed=9, penalty_strength=1.0)
    assert build_space(same, images).shape() == build_space(made, images).shape()


def test_the_choices_of_the_cell_space_are_the_edges_of_the_normal_cell_first():
    space = build_space(SearchConfig(nodes=2, ops=("none", "skip_connect")), IMAGES)
    pairs = ("0-2", "1-2", "0-3", "1-3", "2-3")
    assert [choice.name for choice in space.choices] == [
        f"{kind}/{pair}" for kind in ("normal", "reduction") for pair in pairs
    ]
    assert {choice.options for choice in space.choices} == {("none", "skip_connect")}
    assert [choice.group for choice in space.choices] == ["normal"] * 5 + ["reduction"] * 5


def test_the_cell_space_refuses_architectures_of_others():
    space = build_space(SearchConfig(), IMAGES)
    other = Picks("tower", (("layer0", "conv1"),))
    for ask in (space.child, space.picks, space.live, lambda a: space.child_cost("flops", a)):
        with pytest.raises(
            ValueError, match=r"^architecture must be of space cell, got one of tower$"
        ):
            ask(other)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tower", r"^space must be one of cell, or module:name, got 'tower'$"),
        ("no_such_module:Space", r"^space must be importable, got 'no_such_module:Space' \("),
        ("own_space:Absent", r"^space must be importable, got 'own_space:Absent' \("),
    ],
)
def test_a_space_that_is_not_there_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        build_space(SearchConfig(space=name), IMAGES)


def test_a_space_without_choices_is_refused_when_it_is_built(monkeypatch):
    monkeypatch.setattr(Widths, "choices", ())
    with pytest.raises(ValueError, match=r"^choices of space widths must be one or more, got none"):
        build_space(SearchConfig(space=f"{__name__}:Widths"), IMAGES)


class Downhill(TowerSpace):
    """The costliest option of each choice comes first."""

    def __init__(self, config, images):
        super().__init__(config, images)
        self.choices = [
            Choice("layer0", ("conv5", "conv3", "conv1")),
            Choice("layer1", ("conv3", "conv1")),
        ]


@pytest.mark.parametrize("form", PENALTY_FORMS)
def test_the_order_of_the_options_changes_no_price(form):
    up, down = (kind(SearchConfig(), IMAGES).cost("flops") for kind in (TowerSpace, Downhill))
    for choice, counts in enumerate((3, 2)):
        expected = up.prices(form)[choice, :counts].flip(0)
        torch.testing.assert_close(down.prices(form)[choice, :counts], expected)
    assert down.prices(form).min() == 0
    assert (down.fixed, down.largest()) == (up.fixed, up.largest())


class Namesake(TowerSpace):
    """Its architectures would be read as cells."""

    name = "cell"


class Nameless(Space):
    choices = (Choice("first", ("a", "b")),)
    supernet, child = TowerSpace.supernet, TowerSpace.child


class Numbers(TowerSpace):
    def __init__(self, config, images):
        super().__init__(config, images)
        self.choices = [Choice("kernel", (1, 3))]


class Half(Space):
    name = "half"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Namesake", r"^architectures of space cell must be read as they are written, got not an "),
        ("Nameless", r"^space must state its name, got 'test_space:Nameless'$"),
        ("Numbers", r"^choice kernel must have a tuple of texts as options, got \(1, 3\)$"),
        ("Half", r"^space must define child, supernet, got 'test_space:Half'$"),
        ("IMAGES", r"^space must be a subclass of Space, got 'test_space:IMAGES'$"),
    ],
)
def test_a_space_that_could_not_be_searched_or_read_is_refused_when_it_is_built(name, message):
    with pytest.raises(ValueError, match=message):
        build_space(SearchConfig(space=f"{__name__}:{name}"), IMAGES)
