from __future__ import annotations

import pytest
import torch

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.search.penalty import TARGET_BY, Penalty, TargetPenalty
from snas_tune.search.sampling import gumbel_noise, log_concrete
from snas_tune.search.search import Search
from snas_tune.space.cell.candidates import Candidates
from snas_tune.space.cell.cost import cell_cost, genotype_cost
from snas_tune.space.cell.skeleton import Skeleton
from snas_tune.space.cell.space import CellSpace
from snas_tune.space.cost import COUNTED
from snas_tune.space.space import ImageShape
from snas_tune.training.seeds import generator_for

SKELETON = Skeleton(4, 4, "cifar", 8, 1, 3)
NODES = 2
EDGES = 5


def flops_of(skeleton=SKELETON, ops=DARTS_OPS):
    return cell_cost("flops", Candidates(skeleton, NODES, ops))


def prices_of(weights, form, skeleton=SKELETON, ops=DARTS_OPS):
    config = SearchConfig(
        cells=skeleton.cells, channels=skeleton.channels, nodes=NODES, ops=ops, stem=skeleton.stem
    )
    images = ImageShape(skeleton.image_size, skeleton.image_channels, skeleton.classes)
    space = CellSpace(config, images)
    assert space.skeleton == skeleton
    return space.prices({name: space.cost(name) for name in weights}, weights, form)


def penalty(strength=1.0, form="linear", gradient="sample", costs=COUNTED, target=None):
    if target is not None:
        return TargetPenalty(strength, gradient, flops_of(), target)
    return Penalty(strength, prices_of(dict.fromkeys(costs, 1.0), form), gradient)


def drawn(logits, temperature, step=0):
    noise = gumbel_noise(logits.shape, generator_for(0, "test", step))
    log_sample = log_concrete(logits, temperature, noise)
    return log_sample.exp(), log_sample


def spread_logits():
    generator = torch.Generator().manual_seed(0)
    shape = (len(Candidates(SKELETON, NODES, DARTS_OPS).choices), len(DARTS_OPS))
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("form", ["linear", "log"])
@pytest.mark.parametrize(
    "skeleton", [SKELETON, Skeleton(8, 4, "cifar", 8, 1, 3), Skeleton(5, 16, "cifar", 17, 3, 10)]
)
def test_uniform_logits_pay_the_strength_whatever_the_depth_and_width(form, skeleton):
    prices = prices_of({"flops": 2.0, "params": 1.0, "memory": 3.0}, form, skeleton)
    uniform = torch.full_like(prices, 1 / len(DARTS_OPS))
    assert (prices * uniform).sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("form", ["linear", "log"])
@pytest.mark.parametrize("gradient", ["sample", "expectation", "score"])
@pytest.mark.parametrize("costs", [("flops",), ("params",), ("memory",), COUNTED])
def test_the_gradient_reaches_every_logit(form, gradient, costs):
    rule = penalty(form=form, gradient=gradient, costs=costs)
    logits = spread_logits()
    sample, log_sample = drawn(logits, 0.7)
    rule(sample, log_sample, logits, 0.7, 0.0).backward()
    assert (logits.grad != 0).all()


@pytest.mark.parametrize("form", ["linear", "log"])
def test_the_exact_expectation_has_the_gradient_of_its_closed_form(form):
    rule = penalty(strength=3.0, form=form, gradient="expectation")
    logits = spread_logits()
    sample, log_sample = drawn(logits, 1.0)
    rule(sample, log_sample, logits, 1.0, 0.0).backward()
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
        torch.testing.assert_close(rule(sample, log_sample, logits, 0.5, 0.0), expected)


@pytest.mark.parametrize("gradient", ["sample", "score"])
def test_sampled_gradients_are_unbiased_for_their_own_expectation(gradient):
    """At low temperature the sample is one-hot, so both estimate the exact expectation's gradient;
    the reparameterised one has the bias of the temperature, so it is compared at a mild one."""
    logits = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64).requires_grad_()
    prices = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    rule = Penalty(1.0, prices, gradient)
    draws, temperature = 4000, 0.1 if gradient == "score" else 0.3
    gradients = torch.empty(draws, 3, dtype=torch.float64)
    for i in range(draws):
        sample, log_sample = drawn(logits, temperature, i)
        (gradients[i],) = torch.autograd.grad(
            rule(sample, log_sample, logits, temperature, 0.0), logits
        )[0].view(1, 3)
    p = logits.detach().softmax(-1)
    exact = (p * (prices - (p * prices).sum(-1, keepdim=True))).view(3)
    error = gradients.std(0) / draws**0.5
    slack = 0.0 if gradient == "score" else 0.03
    assert ((gradients.mean(0) - exact).abs() < 5 * error + slack).all()


def test_the_target_form_rests_below_the_target_and_pushes_above_it():
    table = flops_of()
    logits = spread_logits()
    sample, log_sample = drawn(logits, 0.5)
    expected = table.expected(logits.detach()).item()
    chosen = torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    most = max(expected, table.of_sample(chosen).item())
    above = penalty(strength=5.0, target=most * 0.9)(sample, log_sample, logits, 0.5, 1.0)
    unit = table.per_cell.mean(2).sum().item()
    assert above.item() == pytest.approx(5.0 * (0.1 * most / unit) ** 2)
    above.backward(retain_graph=True)
    assert (logits.grad != 0).any()
    logits.grad = None
    below = penalty(strength=5.0, target=most * 1.1)(sample, log_sample, logits, 0.5, 1.0)
    below.backward()
    assert below.item() == 0
    assert (logits.grad == 0).all()


def test_the_score_functions_gradient_is_local_to_each_edge():
    """What other edges drew must not reach an edge's gradient: that is where the variance is."""
    rule = penalty(gradient="score")
    gradients = []
    for other in (0.0, 3.0):
        logits = spread_logits()
        with torch.no_grad():
            logits[EDGES:] += other * torch.arange(len(DARTS_OPS))
        sample, log_sample = drawn(logits, 0.5)
        rule(sample, log_sample, logits, 0.5, 0.0).backward()
        gradients.append(logits.grad[:EDGES])
    assert torch.equal(*gradients)


def test_what_a_target_allows_falls_from_the_uniform_logits_flops_to_the_target():
    table = flops_of()
    uniform = table.expected(torch.zeros(2 * EDGES, len(DARTS_OPS))).item()
    rule = penalty(target=table.fixed + 10.0)
    assert rule.allowed(0.0) == pytest.approx(uniform)
    assert rule.allowed(TARGET_BY / 2) == pytest.approx((uniform + rule.target) / 2)
    assert rule.allowed(TARGET_BY) == rule.allowed(1.0) == rule.target
    assert penalty(target=2 * uniform).allowed(0.0) == 2 * uniform


def test_a_target_below_what_every_child_has_is_refused():
    fixed = flops_of().fixed
    with pytest.raises(
        ValueError, match=rf"^target_flops must be .*, {fixed / 1e6:.6f} MFLOPs, got"
    ):
        penalty(target=1.0)
    with pytest.raises(ValueError, match=r"^options must differ in flops where target_flops is gi"):
        TargetPenalty(1.0, "sample", flops_of(ops=("none", "avg_pool_3x3")), 1e9)


def test_pooling_alone_can_be_searched_without_a_penalty_and_by_memory():
    base = {
        "cells": 3,
        "channels": 4,
        "nodes": 1,
        "epochs": 1,
        "limit_images": 80,
        "threads": 1,
        "ops": ("none", "max_pool_3x3"),
        "batch_size": 16,
    }
    Search(SearchConfig(**base)).take_step()
    step = Search(SearchConfig(**base, penalty_strength=2.0)).take_step()
    assert 0 < step.penalty.item() < 8
    with pytest.raises(
        ValueError, match=r"^options must differ in flops to be penalised, got 0 fo"
    ):
        Search(SearchConfig(**base, penalty_strength=2.0, penalty_costs={"flops": 1}))


def test_a_search_with_a_target_is_held_to_it_and_not_emptied():
    base = {
        "cells": 3,
        "channels": 4,
        "nodes": 2,
        "epochs": 6,
        "limit_images": 400,
        "threads": 1,
        "ops": ("none", "skip_connect", "sep_conv_3x3"),
    }
    free = Search(SearchConfig(**base))
    fixed, unit = free.flops.fixed, free.flops.per_cell.mean(2).sum().item()
    target = fixed + 0.6 * unit
    ends = []
    for held in ({}, {"target_flops": target, "penalty_strength": 10.0}):
        search = Search(SearchConfig(**base, **held))
        while not search.finished:
            search.take_step()
        child = genotype_cost("flops", search.derive(), search.space.skeleton, keep_dead=True)
        ends.append((child, search.flops.expected(search.method.logits.detach()).item()))
    (free_child, free_expected), (child, expected) = ends
    assert min(free_child, free_expected) > 1.2 * target
    assert fixed < child <= target
    assert 0.8 < (expected - fixed) / (target - fixed) < 1.05


def test_ops_that_all_cost_nothing_cannot_be_penalised():
    with pytest.raises(
        ValueError, match="options must differ in params to be penalised, got 0 for all"
    ):
        prices_of({"params": 1.0}, "linear", ops=("none", "max_pool_3x3"))


def test_the_log_form_levels_what_the_linear_form_weighs_by_cost():
    linear, log = (prices_of(dict.fromkeys(COUNTED, 1.0), form) for form in ("linear", "log"))
    position = {op: k for k, op in enumerate(DARTS_OPS)}

    def ratio(prices, dear, cheap):
        return (prices[0, position[dear]] / prices[0, position[cheap]]).item()

    assert ratio(linear, "sep_conv_5x5", "dil_conv_3x3") > 2
    assert 1 < ratio(log, "sep_conv_5x5", "dil_conv_3x3") < 1.5
    assert all(prices[..., position["none"]].eq(0).all() for prices in (linear, log))
