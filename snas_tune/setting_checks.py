"""What the settings of a search may be one of, and which of them contradict each other."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any

from snas_tune.checks import Check, are_different_names, holds, is_number
from snas_tune.results import BALANCED
from snas_tune.values import shown

DARTS_OPS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The op set of DARTS and SNAS, in the published order."""

STEMS = ("cifar", "imagenet")
PENALTY_FORMS = ("linear", "log")
PENALTY_GRADIENTS = ("sample", "expectation", "score")
COSTS = ("flops", "params", "memory", "latency_ms")
"""What a penalty may be made of. FLOPs are multiply-adds of one image, memory is in elements."""

SAMPLINGS = ("concrete", "gdas", "dsnas", "top_k")
"""How an architecture is drawn, see :func:`snas_tune.search.sampling.draw_architecture`."""

FITS = ("crop", "pad", "squash")
"""How an image comes to a square, see docs/data.md."""

ACCURACIES = ("accuracy", BALANCED)
"""How accuracy is measured, see :func:`snas_tune.training.evaluate.accuracies`."""

BAD_IMAGES = ("error", "skip")
SUPERNETS = ("auto", "plain", "fused")
PRECISIONS = ("float32", "float64", "bfloat16", "float16")

BUILT_IN_OPS = (
    *DARTS_OPS,
    "sep_conv_7x7",
    "conv_3x1_1x3",
    "conv_7x1_1x7",
    "nor_conv_1x1",
    "nor_conv_3x3",
)
"""All ops that a search has without a module of the user's."""

MOST_NODES = 64
"""Most intermediate nodes of a cell."""

MOST_OPS = 1000
MOST_SIDE = 8192
"""In pixels."""

MOST_STEPS = 10**6
"""Of epochs, and of images and batches that are processed together."""

MOST_THREADS = 4096

NAMES = Check(are_different_names, "two or more different names")
SETTINGS = Check(
    lambda value: isinstance(value, Mapping) and all(isinstance(name, str) for name in value),
    "values by name",
)
A_FLOP = Check(lambda value: value >= 1, "1 multiply-add or more")
COST_WEIGHTS = Check(lambda value: isinstance(value, Mapping), "weights by name of the cost")


def check_together(config: Any) -> None:
    """Refuse settings each of which is right by itself, but not beside another.

    Args:
        config: a :class:`snas_tune.config.SearchConfig`, its fields checked.

    Raises:
        ValueError: two settings contradict each other; the message names one of them.
    """
    if config.channels % config.partial_channels:
        raise ValueError(
            f"channels must be a multiple of partial_channels, which is {config.partial_channels}, "
            f"got {config.channels}"
        )
    _check_penalty(config)
    _check_schedules(config)
    if config.space == "cell":  # which alone reads `ops`
        _check_ops(config)


def _check_penalty(config: Any) -> None:
    if config.target_flops is not None and config.penalty_strength == 0:
        raise ValueError("penalty_strength must be positive where target_flops is given, got 0")
    costs = config.penalty_costs
    unknown = [name for name in costs if name not in COSTS]
    if unknown:
        raise ValueError(f"penalty_costs must be of {', '.join(COSTS)}, got {shown(unknown)}")
    if any(not holds(is_number, weight) or weight < 0 for weight in costs.values()) or not any(
        costs.values()
    ):
        raise ValueError(
            f"penalty_costs must be weights with a positive sum, got {shown(dict(costs))}"
        )
    if costs.get("latency_ms") and config.latency_table is None:
        raise ValueError("latency_table must be given for a penalty on latency_ms, got None")


def _check_schedules(config: Any) -> None:
    """Refuse what would rise where it is meant to fall."""
    anneals = config.temperature_schedule != "constant"
    if anneals and config.temperature_end > config.temperature_start:
        raise ValueError(
            f"temperature_end must be at most temperature_start, which is "
            f"{config.temperature_start}, got {config.temperature_end}"
        )
    if config.weights_learning_rate_end > config.weights_learning_rate:
        raise ValueError(
            f"weights_learning_rate_end must be at most weights_learning_rate, which is "
            f"{config.weights_learning_rate}, got {config.weights_learning_rate_end}"
        )


def _check_ops(config: Any) -> None:
    if config.sampling == "top_k" and config.sampled_ops > len(config.ops):
        raise ValueError(
            f"sampled_ops must be at most the number of ops, {len(config.ops)}, "
            f"got {config.sampled_ops}"
        )
    known = known_ops()
    for op in config.ops if config.ops_module is None else ():
        if op not in known:
            raise ValueError(f"op must be one of {', '.join(known)}, got {shown(op)}")


def known_ops() -> Collection[str]:
    """The ops of this process: also those that a program has added, once torch is there."""
    loaded = sys.modules.get("snas_tune.space.cell.ops")
    found: Collection[str] = getattr(loaded, "OPS", BUILT_IN_OPS)
    return found
