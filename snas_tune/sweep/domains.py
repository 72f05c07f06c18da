"""What a sweep varies: penalty strength and temperature schedule; and how a trial is called."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune import choice, loguniform
from ray.tune.search.sample import Categorical, Domain, Float, Integer, LogUniform, Uniform

from snas_tune.annealing import check_schedule
from snas_tune.checks import Check, check_value, holds, is_number
from snas_tune.config import PATHS, VARIED, SearchConfig
from snas_tune.data import SOURCES
from snas_tune.sweep.domain_checks import check_space
from snas_tune.values import plain, shown

SPREAD = 16
"""Most starting points that :func:`starting_points` spreads; a searcher proposes the others."""

RANGE_NAMES = {"penalty": "penalty_strength"}
"""The settings whose range has a name of its own."""

KINDS = Check(
    lambda value: isinstance(value, (list, tuple)) and bool(value),
    "a list of one kind or more",
)

ENUMERATED = 4096
"""Most combinations of a discrete space that are listed, so that no trial comes twice."""


def sweep_space(
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
        schedules: kinds of temperature schedule to choose from, or one of them.
        temperature_start: range of the first temperature, log-uniform.
        temperature_end: range of the last temperature, log-uniform.
        settings: fields of :class:`snas_tune.config.SearchConfig` that all trials share; relative
            paths among them are made absolute.

    Returns:
        For ``tune.run(config=...)`` or ``tune.Tuner(param_space=...)``.

    Raises:
        ValueError: a range or a setting is wrong.
    """
    ranges = {
        "penalty_strength": _ends("penalty", penalty),
        "temperature_start": _ends("temperature_start", temperature_start),
        "temperature_end": _ends("temperature_end", temperature_end),
    }
    kinds = [schedules] if isinstance(schedules, str) else schedules
    check_value("schedules", kinds, KINDS)
    for each in kinds:
        check_schedule(each)
    varied = sorted(set(settings) & set(VARIED))
    if varied:
        raise ValueError(f"settings must not fix what the sweep varies, got {varied}")
    domains = {
        name: loguniform(low, high) if low < high else low for name, (low, high) in ranges.items()
    }
    kind = choice(list(kinds)) if len(kinds) > 1 else kinds[0]
    varying = {**domains, "temperature_schedule": kind}
    first = check_space({**settings, **varying})[0]
    return {**absolute_paths(first.to_dict()), **varying}


def _ends(name: str, value: Any) -> tuple[float, float]:
    """The two ends of a range that is sampled in the logarithm."""
    try:
        low, high = map(plain, value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a pair of ends, low and high, got {shown(value)}"
        ) from error
    if isinstance(value, (str, Mapping)) or not all(holds(is_number, end) for end in (low, high)):
        raise ValueError(f"{name} must be a pair of numbers, got {shown(value)}")
    if not 0 < low <= high:
        raise ValueError(
            f"range of {RANGE_NAMES.get(name, name)} must be positive and ascending, "
            f"got {shown(low)} to {shown(high)}"
        )
    return low, high


def absolute_paths(space: Mapping[str, Any]) -> dict[str, Any]:
    """The space with its paths made absolute, as trials run in other working directories.

    ``data`` is one if something lies there.
    """
    found = {name: space[name] for name in PATHS if space.get(name)}
    data = space.get("data")
    if isinstance(data, str) and data and data not in SOURCES and Path(data).expanduser().exists():
        found["data"] = data
    return {
        **space,
        **{
            name: str(Path(path).expanduser().resolve())
            for name, path in found.items()
            if isinstance(path, str)
        },
    }


def domains_of(space: Mapping[str, Any]) -> dict[str, Domain]:
    """What varies, by name."""
    return {name: value for name, value in space.items() if isinstance(value, Domain)}


def first_config(space: Mapping[str, Any]) -> dict[str, Any]:
    """One config of the space, to check before any trial: each domain at its lower end.

    Raises:
        ValueError: a domain has no lower end, so that no searcher could spread trials over it.
    """
    return {**space, **{name: _lowest(name, value) for name, value in domains_of(space).items()}}


def _lowest(name: str, domain: Domain) -> Any:
    if isinstance(domain, Categorical):
        return domain.categories[0]
    if isinstance(domain, (Float, Integer)) and math.isfinite(domain.lower):
        return domain.lower
    raise ValueError(f"{name} must be a value, a choice or a range with two ends, got {domain!r}")


def starting_points(space: Mapping[str, Any], trials: int, seed: int) -> list[dict[str, Any]]:
    """The configs that a sweep tries first.

    In a space of some discrete combinations that is every trial of the sweep, each combination at
    most once, as the same config gives the same search; else :func:`spread_points`.

    Raises:
        ValueError: there are fewer combinations than trials.
    """
    combinations = _combinations(domains_of(space))
    if combinations is None:
        return spread_points(space, min(trials, SPREAD), seed)
    if trials > len(combinations):
        raise ValueError(
            f"trials must be at most {len(combinations)}, the number of different configs of the "
            f"search space, got {trials}"
        )
    order = np.random.default_rng(seed).permutation(len(combinations))
    return [combinations[place] for place in order[:trials]]


def _combinations(domains: Mapping[str, Domain]) -> list[dict[str, Any]] | None:
    """Every config of a discrete space; ``None`` if there are endless or very many."""
    values: list[Sequence[Any]] = []
    for domain in domains.values():
        if isinstance(domain, Categorical):
            values.append(domain.categories)
        elif isinstance(domain, Integer) and isinstance(domain.get_sampler(), Uniform):
            values.append(range(domain.lower, domain.upper))
        else:
            return None
    if math.prod(map(len, values)) > ENUMERATED:
        return None
    return [dict(zip(domains, row, strict=True)) for row in itertools.product(*values)]


def spread_points(space: Mapping[str, Any], count: int, seed: int) -> list[dict[str, Any]]:
    """Starting points that cover the domains evenly: a Latin hypercube, ordered by shuffling.

    Each domain is cut into ``count`` equal parts (in the logarithm where it is logarithmic), and
    every part is hit once, so that a small sweep already spans the penalty strengths. A domain of
    another kind (rounded to steps, say) is sampled by itself.

    Args:
        space: from :func:`sweep_space`.
        count: how many points.
        seed: fixes them.
    """
    generator = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {}
    for name, domain in domains_of(space).items():
        shares = (generator.permutation(count) + generator.random(count)) / count
        columns[name] = [_value_at(domain, float(share), generator) for share in shares]
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def _value_at(domain: Domain, share: float, generator: np.random.Generator) -> Any:
    """The value below which lies that share of the domain."""
    if isinstance(domain, Categorical):
        return domain.categories[int(share * len(domain.categories))]
    sampler = domain.get_sampler()
    low, high = domain.lower, domain.upper
    if isinstance(sampler, LogUniform):
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    elif isinstance(sampler, Uniform):
        value = low + share * (high - low)
    else:
        sampled = domain.sample(random_state=generator)
        return int(sampled) if isinstance(domain, Integer) else float(sampled)
    if isinstance(domain, Integer):  # Tune's upper end is not among the integers
        return min(max(math.floor(value), low), high - 1)
    return min(max(value, low), high)


def trial_name(config: Mapping[str, Any]) -> str:
    """A trial's name, which follows from its config alone, see :func:`search_name`."""
    return search_name(SearchConfig.from_dict(config))


def search_name(search: SearchConfig) -> str:
    """A short name of a search: schedule, penalty strength, fingerprint.

    Where images lie is left out, so a sweep has the same trials on every machine.
    """
    data = Path(search.data)
    if data.is_absolute():
        search = dataclasses.replace(search, data=data.name or search.data)
    return f"{search.temperature_schedule}-{search.penalty_strength:.2e}-{search.fingerprint()}"
