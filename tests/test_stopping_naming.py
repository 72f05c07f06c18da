"""By what name a resumed sweep knows a rule."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest

from snas_tune.stopping import RULES, Judge, make_rule, name_of
from snas_tune.stopping.rules import MoAsha
from snas_tune.sweep.scheduler import ParetoScheduler


def keep_all(history, report):
    return True


class Stateless:
    def __call__(self, history, report):
        return True


class Stateful(Stateless):
    def __init__(self, share):
        self.share = share


class Slotted(Stateless):
    __slots__ = ("share",)


@dataclass(frozen=True)
class Written(Stateless):
    share: float


class Named(Stateful):
    name = "the best tenth"


def test_a_rule_is_known_by_what_it_is():
    assert name_of(keep_all) == "<function keep_all>"
    assert name_of(Stateless()).endswith("test_stopping_naming.Stateless object>")
    assert name_of(MoAsha(2)) == "MoAsha(reduction_factor=2)"
    assert name_of(Written(0.1)) != name_of(Written(0.2))
    assert name_of(Named(0.1)) == "the best tenth"
    partial = functools.partial(keep_all)
    partial.name = "all"
    assert name_of(partial) == "all"
    for name in RULES:
        assert " at 0x" not in name_of(make_rule(name, 3))


def local_rule():
    def rule(history, report):
        return True

    return rule


NAMELESS = {
    "<lambda>": lambda history, report: True,
    r"functools.partial\(<function keep_all>\)": functools.partial(keep_all),
    "rule": local_rule(),
    "<.*Stateful object>": Stateful(0.1),
    "<.*Slotted object>": Slotted(),
    "__call__": Stateful(0.1).__call__,
}


@pytest.mark.parametrize("shown", NAMELESS)
def test_a_rule_that_a_resume_cannot_know_is_asked_for_a_name(shown):
    with pytest.raises(
        ValueError,
        match="^rule must have a name that a resume can know: a function or class of a module, or "
        f"an attribute `name`, got {shown}$",
    ):
        ParetoScheduler(rule=NAMELESS[shown])


@pytest.mark.parametrize("rule", [None, 5, ["fifo"], MoAsha, Judge])
def test_what_is_no_rule_is_refused(rule):
    with pytest.raises(
        ValueError, match=r"^rule must be a name or called with a history and a rep"
    ):
        ParetoScheduler(rule=rule)
