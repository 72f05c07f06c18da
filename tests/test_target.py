"""A target of FLOPs: which ones are refused, and how a child over it is marked."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import pytest
from conftest import TINY
from front_points import BASE, row

from snas_tune.cli.sweep import show
from snas_tune.config import SearchConfig
from snas_tune.front import ParetoFront
from snas_tune.front.text import over_target
from snas_tune.search.penalty import smallest_child
from snas_tune.search.search import Search
from snas_tune.space.space import ImageShape, build_space

OPS = [
    ("none", "skip_connect", "sep_conv_3x3"),
    ("skip_connect", "none", "sep_conv_3x3"),
    ("sep_conv_3x3", "dil_conv_3x3", "skip_connect"),
    ("sep_conv_3x3", "dil_conv_3x3"),
]


@pytest.mark.parametrize("ops", OPS, ids=lambda ops: ops[0])
@pytest.mark.parametrize("partial", [1, 2])
def test_the_smallest_child_is_that_of_brute_force(ops, partial):
    config = SearchConfig(**{**TINY, "ops": ops, "partial_channels": partial})
    space = build_space(config, ImageShape(8, 1, 10))
    options = [range(len(choice.options)) for choice in space.choices]
    every = [
        space.child_cost("flops", space.live(space.derive(picks)))
        for picks in itertools.product(*options)
    ]
    assert smallest_child(space, space.cost("flops")) == min(every)


def search_for(target, **changes):
    return Search(SearchConfig(**{**TINY, **changes, "target_flops": target}, penalty_strength=1.0))


def test_a_target_that_some_child_meets_is_taken_and_another_refused_with_the_smallest():
    """Also one below the FLOPs that no choice changes: a child leaves out its unused parts."""
    free = Search(SearchConfig(**TINY))
    target = max(1.0, smallest_child(free.space, free.flops))
    assert target < free.flops.fixed
    search_for(target).take_step()
    convolutions = {"ops": ("sep_conv_3x3", "dil_conv_3x3")}
    free = Search(SearchConfig(**{**TINY, **convolutions}))
    least = smallest_child(free.space, free.flops)
    search_for(least, **convolutions).take_step()
    assert free.flops.fixed < least - 1
    message = (
        rf"^target_flops must be at least those of the smallest child, {least / 1e6:.6f} MFLOPs, "
        rf"got {(least - 1) / 1e6:g} MFLOPs$"
    )
    with pytest.raises(ValueError, match=message):
        search_for(least - 1, **convolutions)


def held_row(accuracy, flops, target, epoch):
    config = json.dumps({**json.loads(BASE["config"]), "target_flops": target})
    return row(accuracy, flops, epoch=epoch, config=config)


def test_children_over_the_target_are_marked_in_the_table_and_counted_in_the_summary(
    tmp_path, capsys
):
    rows = [held_row(0.5, 650_000, 7e5, 1), held_row(0.9, 1_070_000, 7e5, 2)]
    front = ParetoFront.from_rows(rows)
    assert [over_target(each) for each in front.front] == [None, 7e5]
    lines = front.table_text().splitlines()
    assert lines[-1] == "* over the target of 0.7 MFLOPs"
    assert [line.split()[1] for line in lines[2:4]] == ["0.650", "1.070*"]
    assert lines[2].index("0.650") == lines[3].index("1.070*")  # the points stand below each other
    result = SimpleNamespace(
        path=str(tmp_path), front=front, largest_flops=2e6, hypervolume=0.5, saved=0.0, stopped=0
    )
    result.trials = 2
    show(result, "x")
    assert "over target   1 of the front's 2, see *\n" in capsys.readouterr().out


@pytest.mark.parametrize("config", ["{}", "not JSON", "[]", '{"target_flops": "all"}', "null"])
def test_a_row_without_a_target_is_not_marked(config):
    front = ParetoFront.from_rows([row(config=config), row(0.9, 2000, epoch=2)])
    assert "*" not in front.table_text()
