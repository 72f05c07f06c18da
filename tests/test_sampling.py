from __future__ import annotations

import math

import pytest
import torch
from cell_networks import candidates_of, gumbel_softmax, spread_logits, supernet_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import RelaxedOneHotCategorical

from snas_tune.config import SearchConfig
from snas_tune.search.sampling import (
    choice_credit,
    concrete_log_density,
    draw_architecture,
    entropy_share,
    gumbel_noise,
    log_concrete,
)
from snas_tune.space.cell.supernet import MixedOp
from snas_tune.training.seeds import generator_for

LOGITS = torch.tensor([0.0, 1.0, -1.0, 0.5], dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.03, 1.0])
def test_the_largest_entry_is_distributed_as_the_softmax_of_the_logits(temperature):
    draws = 40_000
    sample = gumbel_softmax(LOGITS.expand(draws, 4), temperature, generator_for(0, "test", 0))
    frequencies = torch.bincount(sample.argmax(-1), minlength=4) / draws
    deviation = (LOGITS.softmax(-1) / draws).sqrt()
    assert ((frequencies - LOGITS.softmax(-1)).abs() < 5 * deviation).all()
    torch.testing.assert_close(sample.sum(-1), torch.ones(draws, dtype=torch.float64))


@settings(deadline=None)
@given(st.floats(0.05, 5), st.integers(2, 9), st.integers(0, 10**6))
def test_the_log_density_is_that_of_the_concrete_distribution(temperature, ops, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, ops, generator=generator, dtype=torch.float64)
    log_sample = log_concrete(logits, temperature, gumbel_noise(logits.shape, generator))
    # torch normalises by exp, which underflows at low temperature; compare where it does not
    if log_sample.min() < -600:
        return
    expected = RelaxedOneHotCategorical(
        torch.tensor(temperature, dtype=torch.float64), logits=logits
    ).log_prob(log_sample.exp())
    torch.testing.assert_close(
        concrete_log_density(log_sample, logits, temperature), expected, rtol=1e-6, atol=1e-6
    )


def test_the_logarithm_of_a_sharp_sample_is_finite_where_the_sample_is_zero():
    logits = torch.zeros(1000, 8)
    log_sample = log_concrete(logits, 0.01, gumbel_noise(logits.shape, generator_for(0, "a", 0)))
    assert (log_sample.exp() == 0).any()
    assert log_sample.isfinite().all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature must be positive, got {temperature}"):
        gumbel_softmax(LOGITS, temperature, generator_for(0, "test", 0))


def test_a_generator_follows_from_its_arguments_alone():
    def draw(*arguments):
        return torch.rand(3, generator=generator_for(*arguments)).tolist()

    torch.manual_seed(1)
    first = draw(7, "sample", 3)
    torch.manual_seed(2)
    assert draw(7, "sample", 3) == first
    assert (
        len(
            {
                tuple(draw(*a))
                for a in [(7, "sample", 3), (8, "sample", 3), (7, "order", 3), (7, "sample", 4)]
            }
        )
        == 4
    )


def test_entropy_is_one_for_uniform_and_zero_for_settled_logits():
    assert entropy_share(torch.zeros(2, 5, 8)) == pytest.approx(1)
    assert entropy_share(100 * torch.eye(8).expand(2, 8, 8)) == pytest.approx(0, abs=1e-9)
    half = torch.tensor([[0.0, 0.0, -1e9, -1e9]])
    assert entropy_share(half) == pytest.approx(math.log(2) / math.log(4))


def test_the_credit_of_an_edge_is_its_output_times_the_gradient_of_its_node():
    config = SearchConfig(cells=3, channels=2, nodes=2)
    candidates = candidates_of(config, image_size=6, image_channels=1, classes=3)
    net, edges = supernet_of(candidates), len(candidates.pairs)
    outputs: dict[tuple[int, int], torch.Tensor] = {}

    def keep(cell, edge):
        def hook(module, inputs, output):
            output.retain_grad()
            outputs[cell, edge] = output

        return hook

    for i, cell in enumerate(net.cells):
        for e, mixed in enumerate(cell.edges):
            assert isinstance(mixed, MixedOp)
            mixed.register_forward_hook(keep(i, e))
    sample = gumbel_softmax(spread_logits(candidates), 0.5, generator_for(0, "test", 0))
    sample.retain_grad()
    images = torch.randn(4, 1, 6, 6, dtype=torch.float64)
    net(images, sample).logsumexp(-1).sum().backward()
    credit = choice_credit(sample, sample.grad)
    expected = torch.zeros_like(credit)
    for (cell, edge), output in outputs.items():
        expected[net.kinds[cell] * edges + edge] += (output * output.grad).sum()
    torch.testing.assert_close(credit, expected, rtol=1e-9, atol=1e-12)


def drawn(sampling, *, seed=0, temperature=0.4, sampled_ops=2, shape=(10, 6)):
    """Logits, the concrete sample, and an architecture of the same noise."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    noise = gumbel_noise(logits.shape, generator)
    draw = draw_architecture(logits, temperature, noise, sampling, sampled_ops)
    return logits, torch.softmax((logits + noise) / temperature, dim=-1), draw


@pytest.mark.parametrize("sampling", ["gdas", "dsnas"])
def test_one_hot_samples_choose_the_largest_of_the_concrete_one(sampling):
    _, concrete, draw = drawn(sampling)
    expected = torch.nn.functional.one_hot(concrete.argmax(-1), 6).double()
    assert torch.equal(draw.sample, expected)
    assert torch.tensor(draw.active).squeeze(-1).tolist() == concrete.argmax(-1).tolist()


def test_by_default_the_sample_is_the_concrete_one_and_every_op_runs():
    _, concrete, draw = drawn(SearchConfig().sampling)
    torch.testing.assert_close(draw.sample, concrete)
    assert draw.active is None


def test_the_straight_through_gradient_is_that_of_the_concrete_sample():
    logits, concrete, draw = drawn("gdas")
    direction = torch.randn(concrete.shape, dtype=torch.float64)
    expected, found = (
        torch.autograd.grad((direction * z).sum(), logits, retain_graph=True)[0]
        for z in (concrete, draw.sample)
    )
    torch.testing.assert_close(found, expected)


def test_the_mean_score_gradient_is_the_gradient_of_the_expectation():
    """Over all outcomes of an edge, each with its probability."""
    logits = torch.tensor([0.3, -1.2, 0.8, 0.0], dtype=torch.float64, requires_grad=True)
    costs = torch.tensor([1.0, 5.0, -2.0, 0.5], dtype=torch.float64)
    probabilities = logits.softmax(-1)
    (expected,) = torch.autograd.grad((probabilities * costs).sum(), logits, retain_graph=True)
    mean = torch.zeros_like(costs)
    for k, probability in enumerate(probabilities.tolist()):
        noise = 100.0 * torch.eye(4, dtype=torch.float64)[k]  # then the outcome is k
        sample = draw_architecture(logits, 0.1, noise, "dsnas", 2).sample
        mean += probability * torch.autograd.grad((sample * costs).sum(), logits)[0]
    torch.testing.assert_close(mean, expected)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_top_k_keeps_the_ratios_of_the_largest_entries(count):
    logits, concrete, draw = drawn("top_k", sampled_ops=count)
    kept = concrete >= concrete.sort(-1).values[..., -count, None]
    assert torch.equal(draw.sample > 0, kept)
    whole = (concrete * kept).sum(-1, keepdim=True)
    torch.testing.assert_close(draw.sample, concrete * kept / whole)
    assert [len(ops) for ops in draw.active] == [count] * 10
    assert torch.zeros(10, 6).scatter(-1, torch.tensor(draw.active), 1).bool().equal(kept)
    if count == 6:  # all of them: the concrete sample, gradient included
        direction = torch.randn(concrete.shape, dtype=torch.float64)
        grads = [
            torch.autograd.grad((direction * z).sum(), logits, retain_graph=True)[0]
            for z in (concrete, draw.sample)
        ]
        torch.testing.assert_close(*grads)
