"""The penalty: how cost enters the loss, in units that do not change with depth or width.

Every op of every (cell, edge) gets a price, and the penalty is the strength times the prices of the
sample, always linear in the sample, so that each edge optimises its own share (SNAS section 2.4):

* ``linear``: price = cost / reference, where the reference is the expected cost of all cells under
  uniform logits. An edge pays in proportion to its cost.
* ``log``: price proportional to ``log(1 + 100 cost / mean)``, the mean being over the edges and ops
  of the same cell. Every edge of every cell pays about equally, and any op with weights costs much
  more than one without, as in the published log form. That one takes the logarithm of an edge's
  *expected* cost and has no gradient below 1; at a one-hot sample both are the log of the chosen
  op's cost, and here the gradient reaches every logit everywhere.

Both are scaled to 1 under uniform logits, so a strength is the number of nats that the starting
point pays, whatever the depth, the width or the image size; stem, preprocessing and classifier are
left out, as no sample changes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snas_tune.search.sampling import concrete_log_density
from snas_tune.space.cost import CostTable

TARGET_BY = 0.6
"""Share of the horizon after which the constraint form asks for the target itself."""

LOG_SCALE = 100.0
"""How far below the mean cost of its cell an op's price falls to nothing in the log form."""


def op_prices(tables: Sequence[CostTable], weights: Mapping[str, float], form: str) -> Tensor:
    """The price of every op, shape ``(T, E, K)``, whose uniform expectation over edges is 1.

    Args:
        tables: one for each cost in ``weights``.
        weights: of each cost, by name; scaled to sum to 1.
        form: ``linear`` or ``log``.

    Raises:
        ValueError: every op costs nothing, so there is nothing to penalise.
    """
    priced = [table for table in tables if table.per_cell.any()]
    if not priced:
        names = ", ".join(table.name for table in tables)
        raise ValueError(f"ops must differ in {names} to be penalised, got 0 for all")
    total = sum(weights[table.name] for table in priced)
    prices = torch.zeros_like(tables[0].per_cell)
    for table in priced:
        cost = table.per_cell
        if form == "log":
            mean = cost.mean(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(cost.dtype).tiny)
            cost = torch.log1p(LOG_SCALE * cost / mean)
        reference = cost.mean(dim=2).sum()
        prices += weights[table.name] / total * cost / reference
    first = tables[0]
    return CostTable("price", prices, first.kinds, 0.0).per_type()


class Penalty:
    """The penalty of a search.

    Args:
        strength: nats that uniform logits pay.
        prices: from :func:`op_prices`.
        gradient: ``sample``: through the reparameterised sample. ``expectation``: the exact
            expectation under the logits. ``score``: the score function, edge by edge, as edges are
            drawn independently and each pays its own price: ``grad log p(Z_e)`` times the price of
            ``Z_e`` less its expectation, a baseline that leaves it unbiased.
    """

    def __init__(self, strength: float, prices: Tensor, gradient: str) -> None:
        self.strength, self.prices, self.gradient = strength, prices, gradient

    def __call__(
        self, sample: Tensor, log_sample: Tensor, logits: Tensor, t: float, done: float
    ) -> Tensor:
        """The penalty in nats: a scalar with gradient to the logits.

        Args:
            sample: ``Z``, shape ``(T, E, K)``.
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

    The penalty is the strength times the square of the excess of FLOPs, in units of the cells'
    FLOPs under uniform logits, and it is there only while the expectation or the derived child
    (argmax, dead parts kept) exceeds what is allowed. That falls in a straight line from the FLOPs
    under uniform logits to the target, which it reaches at :data:`TARGET_BY`. So the push is gentle
    all the way: one of full force, from the first step on, empties the cell, as the logits'
    optimiser remembers it long after it has ended.

    Args:
        strength: nats for an excess of one unit.
        gradient: as for :class:`Penalty`.
        flops: of every op.
        target: in multiply-adds of one image.

    Raises:
        ValueError: no sample changes the FLOPs, or even the empty child exceeds the target.
    """

    def __init__(self, strength: float, gradient: str, flops: CostTable, target: float) -> None:
        if not flops.per_cell.any():
            raise ValueError("ops must differ in flops where target_flops is given, got 0 for all")
        if target < flops.fixed:
            raise ValueError(
                "target_flops must be at least what stem, preprocessing and classifier take, "
                f"{flops.fixed:.0f}, got {target:g}"
            )
        self._unit = flops.per_cell.mean(dim=2).sum().item()
        super().__init__(strength, flops.per_type() / self._unit, gradient)
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
