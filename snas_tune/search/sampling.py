"""Drawing architectures: the concrete sample, its density, and what is measured on the logits.

Shapes: ``C`` choices, ``K`` options. Every function works on the last axis, so any leading shape
will do. A choice with fewer options than ``K`` has logits of minus infinity behind them.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import torch
from torch import Tensor

from snas_tune.space.choices import Active

LEAST = torch.finfo(torch.float64).min
"""In place of minus infinity, where 0 times it must be 0."""


def gumbel_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, float64 on the CPU, whatever device the logits are on."""
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).tiny
    exponential = -torch.log(uniform.clamp_min(tiny))
    return -torch.log(exponential.clamp_min(tiny))


def log_concrete(logits: Tensor, temperature: float, noise: Tensor) -> Tensor:
    """The logarithm of a concrete sample; stays finite where the sample underflows.

    ``log Z = log_softmax((logits + noise) / temperature)`` (Xie et al., 2019, eq. 5; Maddison et
    al., 2017). At temperature 0.03 a quarter of float32 ``Z`` is exactly 0, of ``log Z`` nothing.

    Args:
        logits: shape ``(..., K)``, log of the unnormalised probability of each op.
        temperature: positive; low is sharp.
        noise: Gumbel noise of the same shape.

    Raises:
        ValueError: ``temperature`` is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return torch.log_softmax((logits + noise.to(logits)) / temperature, dim=-1)


@dataclass(frozen=True, slots=True)
class Draw:
    """One architecture, as a step uses it."""

    sample: Tensor
    """Weight of every option, shape ``(C, K)``, with gradient to the logits if there are any."""

    active: Active | None = None
    """The options that run; all of them if not given. The weights of the others are 0."""

    log_concrete: Tensor | None = None
    """Logarithm of the concrete sample that it was made of, ``(C, K)``, if it was made of one."""


def draw_architecture(
    logits: Tensor, temperature: float, noise: Tensor, sampling: str, sampled_ops: int
) -> Draw:
    """Draw an architecture in one of the ways of :data:`snas_tune.setting_checks.SAMPLINGS`.

    * ``concrete``: ``Z`` itself, every op runs (SNAS eq. 5).
    * ``top_k``: the ``sampled_ops`` largest of each row of ``Z``, scaled to sum to 1.
    * ``gdas``: the largest alone, with weight 1. Its gradient is passed straight through to ``Z``
      (Dong and Yang, 2019, arXiv 1910.04465): that of the op that ran; it is 0 of the others.
    * ``dsnas``: the largest alone, with weight 1; no relaxation. The gradient is the score function
      with the op's own credit as reward, ``dL/dZ_k grad log p_k`` (Hu et al., 2020, arXiv
      2002.09128); the temperature has no part in it.

    Args:
        logits: shape ``(C, K)``.
        temperature: positive.
        noise: Gumbel noise of the same shape.
        sampling: the way.
        sampled_ops: how many options of a choice run, for ``top_k``.

    Raises:
        ValueError: ``temperature`` is not positive.
    """
    log_sample = log_concrete(logits, temperature, noise)
    if sampling == "concrete":
        return Draw(log_sample.exp(), None, log_sample)
    count = min(sampled_ops, logits.shape[-1]) if sampling == "top_k" else 1
    largest = log_sample.detach().topk(count, dim=-1).indices
    chosen = torch.zeros_like(log_sample.detach()).scatter_(-1, largest, 1.0)
    chosen = chosen.masked_fill(log_sample.detach() == -math.inf, 0.0)
    if sampling == "top_k":
        sample = torch.softmax(log_sample.masked_fill(chosen == 0, -math.inf), dim=-1)
    elif sampling == "gdas":
        relaxed = log_sample.exp()
        sample = chosen + (relaxed - relaxed.detach())
    else:
        log_probability = torch.log_softmax(logits, dim=-1)
        # A missing option has the logit minus infinity, and no gradient.
        log_probability = log_probability.masked_fill(log_probability == -math.inf, 0.0)
        sample = chosen * (1 + (log_probability - log_probability.detach()))
    active = [row.nonzero().flatten().tolist() for row in chosen.cpu()]
    return Draw(sample, active, log_sample)


def concrete_log_density(log_sample: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Log density of the concrete sample of every choice (SNAS appendix; Maddison, eq. 6).

    ``log (K-1)! + (K-1) log t + sum_k (logits - (t+1) log Z) - K log sum_k exp(logits - t log Z)``
    for each row, with respect to the Lebesgue measure on the simplex.

    Args:
        log_sample: shape ``(..., K)``, from :func:`log_concrete`.
        logits: the same shape.
        temperature: positive.

    Returns:
        Shape ``(...)``, with gradient to ``logits`` (and to ``log_sample``, if that asks for it).
        Edges are independent, so the density of a whole architecture is the sum.
    """
    options = logits.isfinite()
    counts = options.sum(-1).to(logits)
    constant = torch.lgamma(counts.double()) + (counts.double() - 1) * math.log(temperature)
    terms = (logits - (temperature + 1) * log_sample).masked_fill(~options, 0.0).sum(-1)
    ratio = (logits - temperature * log_sample).masked_fill(~options, -math.inf)
    return constant.to(logits) + terms - counts * torch.logsumexp(ratio, dim=-1)


def entropy_share(logits: Tensor) -> Tensor:
    """Mean entropy of the rows' distributions as a share of the uniform one's; in [0, 1]."""
    log_probabilities = torch.log_softmax(logits.detach().double(), dim=-1)
    entropy = -(log_probabilities.exp() * log_probabilities.clamp_min(LEAST)).sum(-1)
    counts = logits.isfinite().sum(-1).flatten().tolist()
    if len(set(counts)) == 1:
        return entropy.mean() / math.log(counts[0])
    return entropy.mean() / statistics.fmean(map(math.log, counts))


def choice_credit(sample: Tensor, gradient: Tensor) -> Tensor:
    """The credit of every choice, ``R_ij = <dL/dx_j, O_ij(x_i)>`` for an edge (SNAS section 2.3).

    It equals ``sum_k Z_k dL/dZ_k``, since the edge's output is linear in ``Z``, so the gradient of
    the sample gives it for free. A penalty through the sample is part of ``L``, so the credit holds
    the choice's share of it; one by expectation or score reaches the logits past the sample.

    Args:
        sample: ``Z``, shape ``(C, K)``.
        gradient: ``dL/dZ``, the same shape.

    Returns:
        Shape ``(C,)``; the sum over all places of the network that share the choice.
    """
    return (sample.detach() * gradient).sum(-1)
