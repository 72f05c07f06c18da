"""Momenta by the names of their weights: from one implementation to the other and back."""

from __future__ import annotations

import pytest
import torch
from cell_networks import candidates_of, supernet_of

from snas_tune.config import SearchConfig
from snas_tune.space.cell.fused.cell import FusedCell
from snas_tune.space.cell.supernet import SearchCell
from snas_tune.training.momenta import load_momenta, momenta_of

CONFIG = SearchConfig(cells=3, channels=4, nodes=2)
CANDIDATES = candidates_of(CONFIG, image_size=8, image_channels=1, classes=3)


def network_and_optimiser(cell, seed=0):
    net = supernet_of(CANDIDATES, cell, seed)
    return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def step(net, optimiser, seed):
    """A step on a gradient that is the same for every implementation: random, by name."""
    names = dict(net.named_tensors())
    wanted = {}
    generator = torch.Generator().manual_seed(seed)
    for name in sorted(names):
        wanted[name] = torch.randn(names[name].shape, generator=generator, dtype=torch.float64)
    gradients = supernet_of(CANDIDATES, type(net.cells[0]))
    gradients.load_tensors(wanted)
    for weight, gradient in zip(net.parameters(), gradients.parameters(), strict=True):
        weight.grad = gradient.detach().clone()
    optimiser.step()


@pytest.mark.parametrize("cells", [(SearchCell, FusedCell), (FusedCell, SearchCell)])
def test_momenta_go_to_the_other_implementation_and_back_without_loss(cells):
    first, other = (network_and_optimiser(cell, seed) for seed, cell in enumerate(cells))
    for seed in (1, 2):
        step(*first, seed)
    names = {
        name for name, _ in supernet_of(CANDIDATES).named_parameters()
    }  # the plain one's own names are the shared ones
    momenta = momenta_of(*first)
    assert set(momenta) == names
    load_momenta(*other, momenta)
    found = momenta_of(*other)
    assert set(found) == names
    assert all(torch.equal(found[name], momenta[name]) for name in names)
    back = network_and_optimiser(cells[0], 5)
    load_momenta(*back, found)
    for mine, theirs in zip(first[0].parameters(), back[0].parameters(), strict=True):
        expected = first[1].state[mine]["momentum_buffer"]
        assert torch.equal(back[1].state[theirs]["momentum_buffer"], expected)
    other[0].load_tensors(dict(first[0].named_tensors()))
    for pair in (first, other):
        step(*pair, 3)
    moved = dict(other[0].named_tensors())
    for name, value in first[0].named_tensors():
        torch.testing.assert_close(moved[name], value, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("cell", [SearchCell, FusedCell])
def test_momenta_are_views_and_the_weights_stay_where_they_are(cell):
    """So nothing of the network is copied, whatever its size."""
    net, optimiser = network_and_optimiser(cell)
    step(net, optimiser, 1)
    before = [(weight.data_ptr(), weight.detach().clone()) for weight in net.parameters()]
    momenta = momenta_of(net, optimiser)
    buffers = {
        state["momentum_buffer"].untyped_storage().data_ptr() for state in _states(optimiser)
    }
    assert {m.untyped_storage().data_ptr() for m in momenta.values()} == buffers
    load_momenta(net, optimiser, {name: m.clone() for name, m in momenta.items()})
    for (place, value), weight in zip(before, net.parameters(), strict=True):
        assert weight.data_ptr() == place
        assert torch.equal(weight, value)


def _states(optimiser):
    return list(optimiser.state.values())


@pytest.mark.parametrize("cell", [SearchCell, FusedCell])
def test_before_the_first_step_there_are_no_momenta(cell):
    net, optimiser = network_and_optimiser(cell)
    assert momenta_of(net, optimiser) == {}
    step(net, optimiser, 1)
    load_momenta(net, optimiser, {})
    assert momenta_of(net, optimiser) == {}


def test_a_failure_on_the_way_leaves_the_weights_in_place():
    net, optimiser = network_and_optimiser(SearchCell)
    step(net, optimiser, 1)
    before = [weight.detach().clone() for weight in net.parameters()]
    with pytest.raises(RuntimeError):
        load_momenta(net, optimiser, {"classifier.bias": torch.zeros(99)})
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
