"""What a sweep varies: penalty strength and temperature schedule; and how a trial is called."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ray import tune

from snas_tune.config import SearchConfig
from snas_tune.schedules import check_schedule

VARIED = ("penalty_strength", "temperature_schedule", "temperature_start", "temperature_end")
"""The settings that a searcher proposes."""


def search_space(
    *,
    penalty: tuple[float, float] = (0.03, 30.0),
    schedules: Sequence[str] = ("linear", "exponential", "cosine"),
    temperature_start: tuple[float, float] = (0.7, 1.5),
    temperature_end: tuple[float, float] = (0.03, 0.1),
    **settings: Any,
) -> dict[str, Any]:
    """A whole Tune search space: the domains, and every other setting of a search as a constant.

    Args:
        penalty: range of the penalty strength, sampled log-uniformly. Under uniform logits a
            strength is what the cost adds to the loss in nats, so cross-entropy, which starts at
            the logarithm of the number of classes, is the scale to think in.
        schedules: kinds of temperature schedule to choose from.
        temperature_start: range of the first temperature, log-uniform.
        temperature_end: range of the last temperature, log-uniform.
        settings: fields of :class:`snas_tune.config.SearchConfig` that all trials share.

    Returns:
        For ``tune.run(config=...)`` or ``tune.Tuner(param_space=...)``.

    Raises:
        ValueError: a range or a setting is wrong.
    """
    ranges = {
        "penalty_strength": penalty,
        "temperature_start": temperature_start,
        "temperature_end": temperature_end,
    }
    for name, (low, high) in ranges.items():
        if not 0 < low <= high < math.inf:
            raise ValueError(f"range of {name} must be positive and ascending, got {low} to {high}")
    if not schedules:
        raise ValueError("schedules must name one kind or more, got none")
    for kind in schedules:
        check_schedule(kind)
    varied = sorted(set(settings) & set(VARIED))
    if varied:
        raise ValueError(f"settings must not fix what the sweep varies, got {varied}")
    constants = SearchConfig.from_dict({**settings, "penalty_strength": penalty[0]}).to_dict()
    domains = {
        name: tune.loguniform(low, high) if low < high else low
        for name, (low, high) in ranges.items()
    }
    kind = tune.choice(list(schedules)) if len(schedules) > 1 else schedules[0]
    return {**constants, **domains, "temperature_schedule": kind}


def first_config(space: Mapping[str, Any]) -> dict[str, Any]:
    """One config of the space, to check before any trial: each domain at its lower end."""
    return {name: _lowest(value) if _is_domain(value) else value for name, value in space.items()}


def _lowest(domain: Any) -> Any:
    return domain.categories[0] if hasattr(domain, "categories") else domain.lower


def spread_points(space: Mapping[str, Any], count: int, seed: int) -> list[dict[str, Any]]:
    """Starting points that cover the domains evenly: a Latin hypercube, ordered by shuffling.

    Each domain is cut into ``count`` equal parts (in the logarithm where it is logarithmic), and
    every part is hit once, so that a small sweep already spans the penalty strengths.

    Args:
        space: from :func:`search_space`.
        count: how many points.
        seed: fixes them.
    """
    generator = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {}
    for name, domain in space.items():
        if not _is_domain(domain):
            continue
        shares = (generator.permutation(count) + generator.random(count)) / count
        if hasattr(domain, "categories"):
            columns[name] = [domain.categories[int(s * len(domain.categories))] for s in shares]
        else:
            low, high = math.log(domain.lower), math.log(domain.upper)
            columns[name] = [math.exp(low + float(s) * (high - low)) for s in shares]
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _is_domain(value: Any) -> bool:
    return isinstance(value, tune.search.sample.Domain)


def trial_name(config: Mapping[str, Any]) -> str:
    """A short name that follows from the config alone: schedule, penalty strength, fingerprint."""
    search = SearchConfig.from_dict(config)
    return f"{search.temperature_schedule}-{search.penalty_strength:.2e}-{search.fingerprint()}"
