"""The pass of which an implementation's seconds are measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import TINY
from implementation_names import ALL, named

from snas_tune.config import SearchConfig
from snas_tune.search.timing import Pass, measure_seconds
from snas_tune.space.cell.space import CellSpace
from snas_tune.space.space import ImageShape
from snas_tune.training.runtime import choose_runtime

SMALL = ImageShape(8, 1, 4)


def pass_of(config: SearchConfig, name: str, images: ImageShape = SMALL) -> Pass:
    """A pass of the search in that implementation."""
    runtime = replace(choose_runtime(config), channels_last=named(name).channels_last)
    return Pass(CellSpace(config, images), runtime, config, named(name))


@pytest.mark.parametrize("cells", [3, 4, 5, 8, 20])
@pytest.mark.parametrize("name", ALL)
def test_a_pass_has_every_part_of_the_supernet(cells, name):
    """All weights but the preprocessing's, which differ from cell to cell, are counted."""
    config = SearchConfig(cells=cells, channels=2, nodes=2, batch_size=2, device="cpu")
    images = ImageShape(8, 3, 4)
    pieces = pass_of(config, name, images).pieces

    def weights(module: torch.nn.Module) -> int:
        return sum(p.numel() for n, p in module.named_parameters() if "preprocess" not in n)

    assert sum(piece.count * weights(piece.module) for piece in pieces) == weights(
        CellSpace(config, images).supernet("plain")
    )
    kinds = [piece for piece in pieces if piece.inputs]
    assert sum(piece.count for piece in kinds) == cells
    assert len(kinds) == min(cells, 5)


def test_a_pass_is_given_up_above_its_limit():
    one = pass_of(SearchConfig(**TINY, device="cpu"), "plain")
    taken = []
    for number, piece in enumerate(one.pieces):
        piece.module.register_forward_hook(lambda *_, number=number: taken.append(number))
    one.seconds(0.0)
    assert taken == [0]
    one.seconds(float("inf"))
    assert taken == [0, *range(len(one.pieces))]


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling": "gdas", "activation_checkpointing": True},
        {"sampling": "top_k", "precision": "float64"},
        {"sampling": "dsnas", "ops": ("none", "skip_connect")},  # at times nothing runs
        {"stem": "imagenet"},
    ],
)
def test_a_pass_is_that_of_the_searchs_settings(changes):
    """Every cell's weights that run get a gradient, of the search's type; others do not."""
    config = SearchConfig(**TINY, **changes, device="cpu")
    for name in ALL:
        one = pass_of(config, name)
        assert 0 < one.seconds(float("inf")) < float("inf")
        for piece in one.pieces:
            if piece.inputs:  # a cell, which its supernet runs
                net = piece.forward[0].func.__self__
                assert net.checkpointing == config.activation_checkpointing
            assert len(piece.forward) == (
                8 if config.sampling != "concrete" and piece.inputs else 1
            )
            gradients = [w.grad for w in piece.module.parameters() if w.grad is not None]
            assert all(gradient.dtype == one.runtime.dtype for gradient in gradients)
            if config.sampling == "concrete":
                assert len(gradients) == len(list(piece.module.parameters()))


def test_users_ops_may_draw_random_numbers_and_leave_weights_unused(monkeypatch):
    """As the search's global state is none of theirs."""
    from snas_tune.space.cell.ops import OPS, Op

    class Odd(torch.nn.Module):
        def __init__(self, channels: int, stride: int, affine: bool) -> None:
            super().__init__()
            self.stride, self.unused = stride, torch.nn.Parameter(torch.zeros(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x[:, :, :: self.stride, :: self.stride]
            return x + torch.rand_like(x)

    monkeypatch.setitem(OPS, "odd", Op(Odd))
    config = SearchConfig(**TINY, ops=("none", "odd"), device="cpu")
    space, runtime = CellSpace(config, SMALL), choose_runtime(config)
    state = torch.random.get_rng_state()
    assert set(measure_seconds(space, runtime, config, list(map(named, ALL)))) == set(ALL)
    assert torch.equal(torch.random.get_rng_state(), state)
