"""What the settings of a search may be one of, and which of them contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snas_tune.checks import Check, are_different_names, is_number

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

ACCURACIES = ("accuracy", "balanced_accuracy")
"""How accuracy is measured, see :func:`snas_tune.training.evaluate.accuracy`."""

BAD_IMAGES = ("error", "skip")
SUPERNETS = ("auto", "plain", "fused")
PRECISIONS = ("float32", "float64", "bfloat16", "float16")

NAMES = Check(are_different_names, "two or more different names")
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
    if config.target_flops is not None and config.penalty_strength == 0:
        raise ValueError("penalty_strength must be positive where target_flops is given, got 0")
    costs = config.penalty_costs
    unknown = sorted(set(costs) - set(COSTS))
    if unknown:
        raise ValueError(f"penalty_costs must be of {', '.join(COSTS)}, got {unknown}")
    if any(not is_number(weight) or weight < 0 for weight in costs.values()) or not any(
        costs.values()
    ):
        raise ValueError(f"penalty_costs must be weights with a positive sum, got {dict(costs)}")
    of_cells = config.space == "cell"  # which alone reads `ops`
    if of_cells and config.sampling == "top_k" and config.sampled_ops > len(config.ops):
        raise ValueError(
            f"sampled_ops must be at most the number of ops, {len(config.ops)}, "
            f"got {config.sampled_ops}"
        )
    if costs.get("latency_ms") and config.latency_table is None:
        raise ValueError("latency_table must be given for a penalty on latency_ms, got None")
