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

from snas_tune.method.cost import CostTable
from snas_tune.method.sampling import concrete_log_density

LOG_SCALE = 100.0
"""How far below the mean cost of its cell an op's price falls to nothing in the log form."""


def op_prices(tables: Sequence[CostTable], weights: Mapping[str, float], form: str) -> Tensor:
    """The price of every op, shape ``(T, E, K)``, whose uniform expectation over edges is 1.

    Args:
        tables: one for each cost in ``weights``.
        weights: of each cost, by name; scaled to sum to 1.
        form: ``linear`` or ``log``.

    Raises:
        ValueError: every op costs the same nothing, so there is nothing to penalise.
    """
    total = sum(weights[table.name] for table in tables)
    prices = torch.zeros_like(tables[0].per_cell)
    for table in tables:
        cost = table.per_cell
        if not cost.any():
            raise ValueError(f"ops must differ in {table.name} to be penalised, got 0 for all")
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
            expectation under the logits. ``score``: the score function, ``grad log p(Z)`` times the
            prices of ``Z``, with the expectation as a baseline, which leaves it unbiased.
        flops: the FLOPs of every op, for ``target_flops``.
        target_flops: if given, the constraint form: the penalty is the strength times the excess
            of FLOPs over the target, in units of the cells' FLOPs under uniform logits, and it is
            there as long as the expectation or the derived child (argmax, dead parts kept) exceeds
            the target.
    """

    def __init__(
        self,
        strength: float,
        prices: Tensor,
        gradient: str,
        flops: CostTable,
        target_flops: float | None = None,
    ) -> None:
        self.strength = strength
        self.gradient = gradient
        self.target_flops = target_flops
        self.flops = flops
        if target_flops is None:
            self.prices = prices
        else:
            self._unit = flops.per_cell.mean(dim=2).sum()
            self.prices = flops.per_type() / self._unit

    def __call__(self, sample: Tensor, log_sample: Tensor, logits: Tensor, t: float) -> Tensor:
        """The penalty in nats: a scalar with gradient to the logits.

        Args:
            sample: ``Z``, shape ``(T, E, K)``.
            log_sample: its logarithm.
            logits: the same shape.
            t: temperature of the sample.
        """
        price = self._price(sample, log_sample, logits, t)
        if self.target_flops is None:
            return self.strength * price
        excess = self._excess(logits)
        if excess <= 0:
            return 0.0 * price  # keeps the graph, so that every step is the same to the optimiser
        return self.strength * (excess + price - price.detach())

    def _price(self, sample: Tensor, log_sample: Tensor, logits: Tensor, t: float) -> Tensor:
        prices = self.prices.to(logits)
        if self.gradient == "expectation":
            return (prices * torch.softmax(logits, dim=-1)).sum()
        if self.gradient == "sample":
            return (prices * sample).sum()
        drawn = (prices * sample.detach()).sum()
        baseline = (prices * torch.softmax(logits.detach(), dim=-1)).sum()
        score = concrete_log_density(log_sample.detach(), logits, t)
        surrogate = score * (drawn - baseline)
        return drawn + surrogate - surrogate.detach()

    def _excess(self, logits: Tensor) -> float:
        """Excess over the target of the larger of expectation and child, in units of the cells."""
        assert self.target_flops is not None
        probabilities = torch.softmax(logits.detach().double().cpu(), dim=-1)
        chosen = torch.zeros_like(probabilities).scatter_(
            -1, probabilities.argmax(-1, keepdim=True), 1.0
        )
        flops = max(self.flops.of_sample(p).item() for p in (probabilities, chosen))
        return (flops - self.target_flops) / self._unit.item()
