"""The penalty: how cost enters the loss, in units that do not change with depth or width.

Every option of every choice gets a price, and the penalty is the strength times the prices of the
sample, always linear in the sample, so that each choice optimises its own share (SNAS section 2.4):

* ``linear``: price = cost / reference, where the reference is the expected cost of all choices
  under uniform logits. A choice pays in proportion to its cost.
* ``log``: price proportional to ``log(1 + 100 cost / mean)``; in the cell space the mean is over
  the edges and ops of the same cell. Every edge of every cell pays about equally, and any op with
  weights costs much more than one without, as in the published log form. That one takes the
  logarithm of an edge's *expected* cost and has no gradient below 1; at a one-hot sample both are
  the log of the chosen op's cost, and here the gradient reaches every logit everywhere.

Both are scaled to 1 under uniform logits: a strength is the number of nats that the starting point
pays, whatever the depth, the width or the image size. The cost that no choice changes is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snas_tune.config import SearchConfig
from snas_tune.search.sampling import concrete_log_density
from snas_tune.space.cost import Cost
from snas_tune.space.space import Space

TARGET_BY = 0.6
"""Share of the horizon after which the constraint form asks for the target itself."""


def smallest_child(space: Space, flops: Cost) -> float:
    """The multiply-adds of the smallest child of a space, its unused parts left out.

    It is the smaller of the child of the cheapest options and those of the same option everywhere:
    which of the options that cost nothing leaves most parts unused only the space knows.
    """
    sizes = [len(choice.options) for choice in space.choices]
    prices = flops.prices("linear")
    cheapest = [int(row[:size].argmin()) for row, size in zip(prices, sizes, strict=True)]
    same = [[min(k, size - 1) for size in sizes] for k in range(max(sizes))]
    return min(
        space.child_cost("flops", space.live(space.derive(picks))) for picks in (cheapest, *same)
    )


def target_penalty(config: SearchConfig, space: Space, flops: Cost) -> TargetPenalty:
    """The constraint form that a config with ``target_flops`` asks for.

    Raises:
        ValueError: as :class:`TargetPenalty`.
    """
    assert config.target_flops is not None
    least = smallest_child(space, flops)
    strength, gradient = config.penalty_strength, config.penalty_gradient
    return TargetPenalty(strength, gradient, flops, config.target_flops, least)


class Penalty:
    """The penalty of a search.

    Args:
        strength: nats that uniform logits pay.
        prices: of every option, ``(C, K)``, from :meth:`Space.prices`.
        gradient: ``sample``: through the reparameterised sample. ``expectation``: the exact
            expectation under the logits. ``score``: the score function, choice by choice, as
            they are drawn independently and each pays its own price: ``grad log p(Z_c)`` times the
            price of ``Z_c`` less its expectation, a baseline that leaves it unbiased.
    """

    def __init__(self, strength: float, prices: Tensor, gradient: str) -> None:
        self.strength, self.prices, self.gradient = strength, prices, gradient

    def __call__(
        self, sample: Tensor, log_sample: Tensor, logits: Tensor, t: float, done: float
    ) -> Tensor:
        """The penalty in nats: a scalar with gradient to the logits.

        Args:
            sample: ``Z``, shape ``(C, K)``.
            log_sample: its logarithm.
            logits: the same shape.
            t: temperature of the sample.
            done: share of the horizon that is done.
        """
        return self.strength * self._price(sample, log_sample, logits, t)

    def _price(self, sample: Tensor, log_sample: Tensor, logits: Tensor, t: float) -> Tensor:
        prices = self.prices.to(logits)
        if self.gradient == "expectation":
            return (prices * torch.softmax(logits, dim=-1)).sum()
        if self.gradient == "sample":
            return (prices * sample).sum()
        drawn = (prices * sample.detach()).sum(-1)
        baseline = (prices * torch.softmax(logits.detach(), dim=-1)).sum(-1)
        score = concrete_log_density(log_sample.detach(), logits, t)
        surrogate = (score * (drawn - baseline)).sum()
        return drawn.sum() + surrogate - surrogate.detach()


class TargetPenalty(Penalty):
    """The constraint form: FLOPs held to a target.

    The penalty is the strength times the square of the excess of FLOPs, in units of the choices'
    FLOPs under uniform logits, and it is there only while the expectation or the derived child
    (argmax, dead parts kept) exceeds what is allowed. That falls in a straight line from the FLOPs
    under uniform logits to the target, which it reaches at :data:`TARGET_BY`. So the push is gentle
    all the way: one of full force, from the first step on, empties the network, as the logits'
    optimiser remembers it long after it has ended.

    Args:
        strength: nats for an excess of one unit.
        gradient: as for :class:`Penalty`.
        flops: of every op.
        target: in multiply-adds of one image.
        smallest: multiply-adds of the smallest child, see :func:`smallest_child`; those that no
            choice changes if not given.

    Raises:
        ValueError: no sample changes the FLOPs, or even the smallest child exceeds the target.
    """

    def __init__(
        self,
        strength: float,
        gradient: str,
        flops: Cost,
        target: float,
        smallest: float | None = None,
    ) -> None:
        prices = flops.prices("linear")
        if not prices.any():
            raise ValueError(
                "options must differ in flops where target_flops is given, got 0 for all"
            )
        least = flops.fixed if smallest is None else smallest
        if target < least:
            raise ValueError(
                f"target_flops must be at least those of the smallest child, {least / 1e6:.6f} "
                f"MFLOPs, got {target / 1e6:g} MFLOPs"
            )
        super().__init__(strength, prices, gradient)
        # Prices are the cost of the options in units of their uniform expectation.
        self._unit = (flops.largest() - flops.fixed) / prices.amax(-1).sum().item()
        self.flops, self.target = flops, target

    def allowed(self, done: float) -> float:
        """The FLOPs that go without a penalty when that share of the horizon is done."""
        start = max(self.target, self.flops.fixed + self._unit)
        return self.target + (start - self.target) * max(0.0, 1 - done / TARGET_BY)

    def __call__(
        self, sample: Tensor, log_sample: Tensor, logits: Tensor, t: float, done: float
    ) -> Tensor:
        """As :class:`Penalty`; 0 while nothing exceeds what is allowed."""
        price = self._price(sample, log_sample, logits, t)
        excess = (self._larger(logits) - self.allowed(done)) / self._unit
        if excess <= 0:
            return 0.0 * price  # keeps the graph, so that every step is the same to the optimiser
        # Its value is the square of the excess, its gradient that of the price of this sample.
        return self.strength * excess * (excess + 2 * (price - price.detach()))

    def _larger(self, logits: Tensor) -> float:
        """The larger FLOPs of expectation and child."""
        probabilities = torch.softmax(logits.detach().double().cpu(), dim=-1)
        chosen = torch.zeros_like(probabilities).scatter_(
            -1, probabilities.argmax(-1, keepdim=True), 1.0
        )
        return max(self.flops.of_sample(p).item() for p in (probabilities, chosen))
