"""The stopping room: which trials of a sweep go on, decided by two objectives or more.

- :mod:`snas_tune.stopping.history`: the reports of trials at the rungs.
- :mod:`snas_tune.stopping.rules`: the rules, pure functions of the history.
- :mod:`snas_tune.stopping.predict`: where a trial will end, from how its neighbours moved.
- :mod:`snas_tune.stopping.gaps`: where the front is thin.
- :mod:`snas_tune.stopping.judge`: :class:`Judge` applies a rule to reports as they come.
- :mod:`snas_tune.stopping.journal`: :class:`Journal` keeps the history on disk.
- :mod:`snas_tune.stopping.segment`: one file of it as bytes, with checksums.
- :mod:`snas_tune.stopping.naming`: by what name a resumed sweep knows a rule.

It needs neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from snas_tune.arguments import checked
from snas_tune.checks import ABOVE_ONE, check_value, choice
from snas_tune.stopping.gaps import Outcome, widest_gap
from snas_tune.stopping.history import History, Report, rung_levels
from snas_tune.stopping.journal import Journal
from snas_tune.stopping.judge import Judge
from snas_tune.stopping.naming import name_of
from snas_tune.stopping.rules import (
    Asha,
    AshaScalar,
    Fifo,
    Hopeless,
    LagCorrected,
    MoAsha,
    Pareto,
    Rule,
)

RULES: dict[str, Callable[[float], Rule]] = {
    "pareto": Pareto,
    "lag-corrected": LagCorrected,
    "hopeless": lambda _: Hopeless(),
    "mo-asha": MoAsha,
    "asha": Asha,
    "asha-cost": lambda factor: Asha(factor, objective=-1),
    "asha-scalar": AshaScalar,
    "fifo": lambda _: Fifo(),
}
"""Rules by name, made from the reduction factor."""


@checked
def make_rule(name: str, reduction_factor: Annotated[float, ABOVE_ONE]) -> Rule:
    """A rule by its name.

    Raises:
        ValueError: there is none of that name.
    """
    check_value("rule", name, choice(RULES))
    return RULES[name](reduction_factor)


__all__ = [
    "RULES",
    "History",
    "Journal",
    "Judge",
    "Outcome",
    "Report",
    "Rule",
    "make_rule",
    "name_of",
    "rung_levels",
    "widest_gap",
]
