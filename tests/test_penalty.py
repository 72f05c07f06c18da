from __future__ import annotations

import pytest
import torch

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.genotype import cell_edges
from snas_tune.method.cost import COUNTED, cost_table, genotype_cost
from snas_tune.method.parts import Frame
from snas_tune.method.penalty import Penalty, op_prices
from snas_tune.method.sampling import generator_for, gumbel_noise, log_concrete
from snas_tune.method.search import Search

FRAME = Frame(4, 4, "cifar", 8, 1, 3)
NODES = 2


def tables(frame=FRAME, costs=COUNTED, ops=DARTS_OPS):
    return [cost_table(name, frame, NODES, ops) for name in costs]


def penalty(strength=1.0, form="linear", gradient="sample", costs=COUNTED, target=None, **kwargs):
    found = tables(costs=costs, **kwargs)
    prices = op_prices(found, dict.fromkeys(costs, 1.0), form)
    return Penalty(strength, prices, gradient, tables(costs=("flops",))[0], target)


def drawn(logits, temperature, step=0):
    noise = gumbel_noise(logits.shape, generator_for(0, "test", step))
    log_sample = log_concrete(logits, temperature, noise)
    return log_sample.exp(), log_sample


def spread_logits():
    generator = torch.Generator().manual_seed(0)
    shape = (2, len(cell_edges(NODES)), len(DARTS_OPS))
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("form", ["linear", "log"])
@pytest.mark.parametrize("frame", [FRAME, Frame(8, 4, "cifar", 8, 1, 3), Frame(5, 16, "cifar", 17,
                                                                              3, 10)])  # fmt: skip
def test_uniform_logits_pay_the_strength_whatever_the_depth_and_width(form, frame):
    prices = op_prices(tables(frame), {"flops": 2.0, "params": 1.0, "memory": 3.0}, form)
    uniform = torch.full_like(prices, 1 / len(DARTS_OPS))
    assert (prices * uniform).sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("form", ["linear", "log"])
@pytest.mark.parametrize("gradient", ["sample", "expectation", "score"])
@pytest.mark.parametrize("costs", [("flops",), ("params",), ("memory",), COUNTED])
def test_the_gradient_reaches_every_logit(form, gradient, costs):
    rule = penalty(form=form, gradient=gradient, costs=costs)
    logits = spread_logits()
    sample, log_sample = drawn(logits, 0.7)
    rule(sample, log_sample, logits, 0.7).backward()
    assert (logits.grad != 0).all()


@pytest.mark.parametrize("form", ["linear", "log"])
def test_the_exact_expectation_has_the_gradient_of_its_closed_form(form):
    rule = penalty(strength=3.0, form=form, gradient="expectation")
    logits = spread_logits()
    sample, log_sample = drawn(logits, 1.0)
    rule(sample, log_sample, logits, 1.0).backward()
    p = logits.detach().softmax(-1)
    mean = (p * rule.prices).sum(-1, keepdim=True)
    torch.testing.assert_close(logits.grad, 3.0 * p * (rule.prices - mean))


def test_a_sample_pays_the_prices_that_it_carries():
    rule = penalty(strength=2.0)
    logits = spread_logits()
    sample, log_sample = drawn(logits, 0.5)
    expected = 2.0 * (rule.prices * sample).sum()
    for gradient in ("sample", "score"):
        rule.gradient = gradient
        torch.testing.assert_close(rule(sample, log_sample, logits, 0.5), expected)


@pytest.mark.parametrize("gradient", ["sample", "score"])
def test_sampled_gradients_are_unbiased_for_their_own_expectation(gradient):
    """At low temperature the sample is one-hot, so both estimate the exact expectation's gradient;
    the reparameterised one has the bias of the temperature, so it is compared at a mild one."""
    logits = torch.tensor([[[0.3, -0.2, 0.1]]], dtype=torch.float64).requires_grad_()
    prices = torch.tensor([[[0.0, 1.0, 3.0]]], dtype=torch.float64)
    rule = Penalty(1.0, prices, gradient, tables(costs=("flops",))[0])
    draws, temperature = 4000, 0.1 if gradient == "score" else 0.3
    gradients = torch.empty(draws, 3, dtype=torch.float64)
    for i in range(draws):
        sample, log_sample = drawn(logits, temperature, i)
        (gradients[i],) = torch.autograd.grad(
            rule(sample, log_sample, logits, temperature), logits
        )[0].view(1, 3)
    p = logits.detach().softmax(-1)
    exact = (p * (prices - (p * prices).sum(-1, keepdim=True))).view(3)
    error = gradients.std(0) / draws**0.5
    slack = 0.0 if gradient == "score" else 0.03
    assert ((gradients.mean(0) - exact).abs() < 5 * error + slack).all()


def test_the_target_form_rests_below_the_target_and_pushes_above_it():
    table = tables(costs=("flops",))[0]
    logits = spread_logits()
    sample, log_sample = drawn(logits, 0.5)
    expected = table.expected(logits.detach()).item()
    chosen = torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    most = max(expected, table.of_sample(chosen).item())
    above = penalty(strength=5.0, target=most * 0.9)(sample, log_sample, logits, 0.5)
    unit = table.per_cell.mean(2).sum().item()
    assert above.item() == pytest.approx(5.0 * 0.1 * most / unit)
    above.backward(retain_graph=True)
    assert (logits.grad != 0).any()
    logits.grad = None
    below = penalty(strength=5.0, target=most * 1.1)(sample, log_sample, logits, 0.5)
    below.backward()
    assert below.item() == 0
    assert (logits.grad == 0).all()


def test_a_search_with_a_target_ends_with_a_child_below_it_and_one_without_above():
    base = {"cells": 3, "channels": 4, "nodes": 2, "epochs": 6, "limit_images": 400, "threads": 1,
            "ops": ("none", "skip_connect", "sep_conv_3x3")}  # fmt: skip
    flops = []
    free = Search(SearchConfig(**base))
    target = free.flops.fixed + 0.3 * free.flops.per_cell.mean(2).sum().item()
    for held in ({}, {"target_flops": target, "penalty_strength": 20.0}):
        search = Search(SearchConfig(**base, **held))
        while not search.finished:
            search.take_step()
        flops.append(genotype_cost("flops", search.derive(), search.frame, keep_dead=True))
    assert flops[0] > target >= flops[1] > 0


def test_ops_that_all_cost_nothing_cannot_be_penalised():
    with pytest.raises(
        ValueError, match="ops must differ in params to be penalised, got 0 for all"
    ):
        op_prices(
            tables(costs=("params",), ops=("none", "max_pool_3x3")), {"params": 1.0}, "linear"
        )


def test_the_log_form_levels_what_the_linear_form_weighs_by_cost():
    linear, log = (
        op_prices(tables(), dict.fromkeys(COUNTED, 1.0), form) for form in ("linear", "log")
    )
    position = {op: k for k, op in enumerate(DARTS_OPS)}

    def ratio(prices, dear, cheap):
        return (prices[0, 0, position[dear]] / prices[0, 0, position[cheap]]).item()

    assert ratio(linear, "sep_conv_5x5", "dil_conv_3x3") > 2
    assert 1 < ratio(log, "sep_conv_5x5", "dil_conv_3x3") < 1.5
    assert all(prices[..., position["none"]].eq(0).all() for prices in (linear, log))
