"""Choices with different numbers of options, in every function that sees a table of them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snas_tune.config import PENALTY_GRADIENTS, SAMPLINGS
from snas_tune.search.penalty import Penalty, TargetPenalty
from snas_tune.search.sampling import (
    concrete_log_density,
    draw_architecture,
    entropy_share,
    gumbel_noise,
    log_concrete,
)
from snas_tune.space.choices import Choice, check_choices, one_hot, option_mask
from snas_tune.space.cost import TableCost

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
WIDTH = 5
"""``K``: the options of the choice that has most."""

counts_of_options = st.lists(st.integers(2, WIDTH), max_size=3).flatmap(
    lambda some: st.permutations([2, WIDTH, *some])
)
"""How many options each choice has: one has two, one has all."""


def choices_with(counts) -> list[Choice]:
    return [Choice(f"c{c}", tuple("abcde"[:count])) for c, count in enumerate(counts)]


def ragged(counts, seed):
    """Logits as a method holds them, masked ones, and noise, all ``(C, K)``."""
    generator = torch.Generator().manual_seed(seed)
    mask = option_mask(choices_with(counts))
    held = torch.randn(mask.shape, generator=generator, dtype=torch.float64).requires_grad_()
    return held, held.masked_fill(~mask, -math.inf), gumbel_noise(mask.shape, generator), mask


def rows_of(counts, *tables):
    """Each choice by itself, with as many columns as it has options."""
    return [[table[c : c + 1, :count] for table in tables] for c, count in enumerate(counts)]


@settings(deadline=None, max_examples=25)
@given(counts_of_options, st.floats(0.05, 3), st.sampled_from(SAMPLINGS), st.integers(0, 10**6))
def test_a_choice_with_fewer_options_is_drawn_as_it_would_be_alone(
    counts, temperature, sampling, seed
):
    held, logits, noise, mask = ragged(counts, seed)
    weights = torch.rand(mask.shape, dtype=torch.float64)
    draw = draw_architecture(logits, temperature, noise, sampling, 2)
    assert torch.equal(draw.log_concrete, log_concrete(logits, temperature, noise))
    assert torch.equal(draw.sample[~mask], torch.zeros(int((~mask).sum()), dtype=torch.float64))
    (gradient,) = torch.autograd.grad((weights * draw.sample).sum(), held)
    assert gradient.isfinite().all()
    assert (gradient[~mask] == 0).all()
    for c, (mine, noise_, sample, log, by_held, weight) in enumerate(
        rows_of(counts, held, noise, draw.sample, draw.log_concrete, gradient, weights)
    ):
        alone = mine.detach().requires_grad_()
        found = draw_architecture(alone, temperature, noise_, sampling, 2)
        torch.testing.assert_close(sample, found.sample, **TIGHT)
        torch.testing.assert_close(log, found.log_concrete, **TIGHT)
        if sampling == "concrete":
            assert draw.active is found.active is None
        else:
            assert draw.active[c] == found.active[0]
        (expected,) = torch.autograd.grad((weight * found.sample).sum(), alone)
        torch.testing.assert_close(by_held, expected, **TIGHT)


def test_more_sampled_options_than_a_choice_has_are_all_of_them():
    _, logits, noise, mask = ragged([2, WIDTH], 0)
    draw = draw_architecture(logits, 0.7, noise, "top_k", 4)
    assert draw.active[0] == [0, 1]
    assert len(draw.active[1]) == 4
    torch.testing.assert_close(draw.sample[0], log_concrete(logits, 0.7, noise)[0].exp())
    assert not draw.sample[~mask].any()


@settings(deadline=None, max_examples=25)
@given(counts_of_options, st.floats(0.05, 3), st.integers(0, 10**6))
def test_density_and_entropy_are_those_of_the_choices_alone(counts, temperature, seed):
    held, logits, noise, mask = ragged(counts, seed)
    log_sample = log_concrete(logits, temperature, noise).detach()
    density = concrete_log_density(log_sample, logits, temperature)
    (gradient,) = torch.autograd.grad(density.sum(), held)
    assert (gradient[~mask] == 0).all()
    most = 0.0
    entropy = 0.0
    for c, (mine, log, by_held) in enumerate(rows_of(counts, held, log_sample, gradient)):
        alone = mine.detach().requires_grad_()
        expected = concrete_log_density(log, alone, temperature)
        torch.testing.assert_close(density[c : c + 1], expected, rtol=1e-9, atol=1e-9)
        (by_alone,) = torch.autograd.grad(expected.sum(), alone)
        torch.testing.assert_close(by_held, by_alone, rtol=1e-9, atol=1e-9)
        probabilities = alone.detach().softmax(-1)
        entropy -= (probabilities * probabilities.log()).sum().item()
        most += math.log(counts[c])
    assert entropy_share(logits).item() == pytest.approx(entropy / most)


def test_the_entropy_of_ragged_choices_is_one_where_uniform_and_zero_where_settled():
    mask = option_mask(choices_with([2, 5, 3]))
    uniform = torch.zeros(mask.shape).masked_fill(~mask, -math.inf)
    assert entropy_share(uniform).item() == pytest.approx(1)
    settled = torch.tensor([[0.0, 900.0, 0, 0, 0]] * 3).masked_fill(~mask, -math.inf)
    assert entropy_share(settled).item() == pytest.approx(0, abs=1e-9)


def costs_of(counts, seed=0) -> TableCost:
    """A cost whose missing options cost nothing, as a space's default counts it."""
    mask = option_mask(choices_with(counts))
    generator = torch.Generator().manual_seed(seed)
    table = torch.rand(mask.shape, generator=generator, dtype=torch.float64) * 100 * mask
    return TableCost("flops", table, mask, 7.0)


@pytest.mark.parametrize("gradient", PENALTY_GRADIENTS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("target", [None, 8.0])
def test_a_penalty_has_a_finite_gradient_that_is_zero_where_no_option_is(
    gradient, sampling, target
):
    held, logits, noise, mask = ragged([3, 2, WIDTH], 4)
    cost = costs_of([3, 2, WIDTH])
    rule = Penalty(2.0, cost.prices("linear"), gradient)
    if target is not None:
        rule = TargetPenalty(2.0, gradient, cost, target)
    draw = draw_architecture(logits, 0.6, noise, sampling, 2)
    value = rule(draw.sample, draw.log_concrete, logits, 0.6, 1.0)
    (found,) = torch.autograd.grad(value, held)
    assert value.isfinite()
    assert value > 0
    assert found.isfinite().all()
    assert (found[~mask] == 0).all()
    assert (found[mask] != 0).any()


def architectures(mask):
    """Every one of them as positions of the options, ``(number, C)``."""
    return torch.cartesian_prod(*[torch.arange(int(row.sum())) for row in mask])


@settings(deadline=None, max_examples=20)
@given(counts_of_options, st.integers(0, 1000))
def test_a_tables_expectation_and_largest_are_over_all_architectures(counts, seed):
    cost, (_, logits, _, mask) = costs_of(counts, seed), ragged(counts, seed)
    picks = architectures(mask)
    each = cost.fixed + cost.table.gather(1, picks.T).sum(0)
    chances = logits.softmax(-1).gather(1, picks.T).prod(0)
    assert chances.sum().item() == pytest.approx(1)
    assert cost.expected(logits).item() == pytest.approx((chances * each).sum().item())
    assert cost.largest() == pytest.approx(each.max().item())
    sample = one_hot(picks[0].tolist(), choices_with(counts)).double()
    assert cost.of_sample(sample).item() == pytest.approx(each[0].item())


def test_the_largest_child_has_no_option_that_is_missing():
    """Where every option takes something away, a missing one would be the largest."""
    mask = option_mask(choices_with([2, 3]))
    table = torch.tensor([[-5.0, -2.0, 0.0], [-1.0, -4.0, -9.0]], dtype=torch.float64)
    assert TableCost("flops", table, mask, 20.0).largest() == 20 - 2 - 1


@settings(deadline=None, max_examples=20)
@given(counts_of_options, st.sampled_from(["linear", "log"]), st.floats(0.1, 5))
def test_prices_have_the_uniform_expectation_that_is_asked_for(counts, form, weight):
    cost = costs_of(counts)
    prices = cost.prices(form, weight)
    picks = architectures(cost.mask)
    assert prices.gather(1, picks.T).sum(0).mean().item() == pytest.approx(weight)
    assert not prices[~cost.mask].any()
    costs, paid = cost.table[cost.mask], prices[cost.mask]
    assert torch.equal(costs.argsort(), paid.argsort())
    if form == "linear":
        torch.testing.assert_close(paid / costs, (paid / costs)[:1].expand_as(paid))
    else:
        expected = torch.log1p(100 * costs / costs.mean())
        torch.testing.assert_close(paid / expected, (paid / expected)[:1].expand_as(paid))


def test_options_that_cost_nothing_have_no_price():
    mask = option_mask(choices_with([2, 3]))
    for form in ("linear", "log"):
        prices = TableCost("flops", torch.zeros(2, 3).double(), mask, 3.0).prices(form)
        assert torch.equal(prices, torch.zeros(2, 3).double())


def test_a_mask_and_a_one_hot_sample_say_what_is_there():
    choices = choices_with([3, 2])
    assert option_mask(choices).tolist() == [[True, True, True], [True, True, False]]
    assert one_hot([2, 0], choices).tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([], r"^choices of space mine must be one or more, got none$"),
        (
            [Choice("a", ("x", "y")), Choice("b", ("x", "y")), Choice("a", ("x", "z"))],
            r"^choices of space mine must have different names, got a twice$",
        ),
        (
            [Choice("a", ("x", "y")), Choice("b", ("x",))],
            r"^choice b must have two or more different options, got \['x'\]$",
        ),
        (
            [Choice("a", ("x", "y", "x"))],
            r"^choice a must have two or more different options, got \['x', 'y', 'x'\]$",
        ),
    ],
)
def test_choices_that_cannot_be_searched_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        check_choices("mine", choices)


def test_choices_that_can_be_searched_are_not():
    check_choices("mine", choices_with([2, 3]))
