"""Every member of a search space's domains, checked before any trial.

A trial that a searcher proposes at the far end of a range, or with the last option of a choice,
would fail hours later. So a config is built for each option of a choice and for both ends of a
range, the other settings being at their first value; and for each pair of domains, as two settings
may contradict each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray.tune.search.sample import Categorical, Domain, Float, Integer, Quantized

from snas_tune.checks import check_value, holds, is_number
from snas_tune.config import SearchConfig
from snas_tune.data import ImageSet
from snas_tune.search.images import rows_of
from snas_tune.search.methods.table import method_class
from snas_tune.setting_checks import SETTINGS
from snas_tune.training.batches import parts_of, steps_per_epoch
from snas_tune.values import shown

PAIRS = 64
"""Most pairs of members that are tried of two domains; of more the first and last of each."""

FORM = "a value, tune.choice with an option or more, or a range with two finite ends"


def check_space(space: Mapping[str, Any]) -> list[SearchConfig]:
    """Check every member of every domain.

    Args:
        space: settings of a search by name, each a value or a domain of Tune.

    Returns:
        The config of the first members, and one for each other member.

    Raises:
        ValueError: a setting is unknown, a domain has no members, or a member breaks a rule.
    """
    check_value("space", space, SETTINGS)
    members = {name: list(_members(name, value)) for name, value in space.items()}
    base = {name: values[0] for name, values in members.items()}
    configs = [SearchConfig.from_dict(base)]
    varied = {name: values for name, values in members.items() if len(values) > 1}
    for name, values in varied.items():
        configs += [_config(base, {name: value}) for value in values[1:]]
    if len(metrics := sorted({config.metric for config in configs})) > 1:
        raise ValueError(
            f"metric must be the same in all trials, whose front compares it, "
            f"got {' and '.join(metrics)}"
        )
    for one, other in itertools.combinations(varied, 2):
        for pair in _pairs(varied[one], varied[other]):
            _config(base, dict(zip((one, other), pair, strict=True)))
    return configs


def _pairs(one: Sequence[Any], other: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Members of two domains together, all of them if they are few."""
    if len(one) * len(other) > PAIRS:
        one, other = (one[0], one[-1]), (other[0], other[-1])
    return itertools.product(one, other)


def _config(base: Mapping[str, Any], changes: Mapping[str, Any]) -> SearchConfig:
    try:
        return SearchConfig.from_dict({**base, **changes})
    except ValueError as error:
        told = ", ".join(f"{name} {shown(value)}" for name, value in changes.items())
        raise ValueError(f"{error} (the search space has {told})") from error


def _members(name: str, value: Any) -> Iterator[Any]:
    """Those of a domain that are checked; a value is its only one."""
    if not isinstance(value, Domain):
        if _holds_domain(value):
            raise ValueError(f"{name} must be {FORM}, got one inside another value")
        yield value
    elif isinstance(value, Categorical):
        if not value.categories or any(map(_holds_domain, value.categories)):
            raise ValueError(f"{name} must be {FORM}, got choice({shown(value.categories)})")
        yield from value.categories
    else:
        yield from _ends(name, value)


def _ends(name: str, domain: Domain) -> tuple[Any, Any]:
    """The two ends of a range; a range of whole numbers does not hold Tune's upper one."""
    low: Any = getattr(domain, "lower", None)
    high: Any = getattr(domain, "upper", None)
    whole = isinstance(domain, Integer)
    numbers = all(holds(is_number, end) for end in (low, high))
    if not isinstance(domain, (Float, Integer)) or not numbers:
        raise ValueError(f"{name} must be {FORM}, got {_told(domain)}")
    sampler = domain.get_sampler()
    steps = sampler.q if isinstance(sampler, Quantized) else 1
    if whole and steps == 1:
        high -= 1
    if low > high or (whole and {int(low), int(high)} != {low, high}) or not steps > 0:
        raise ValueError(f"{name} must be {FORM}, the lower one first, got {_told(domain)}")
    return low, high


def _told(domain: Domain) -> str:
    low, high = getattr(domain, "lower", None), getattr(domain, "upper", None)
    ends = "" if low is None or high is None else f" from {shown(low)} to {shown(high)}"
    return f"{type(domain).__name__}{ends}"


def _holds_domain(value: Any, depth: int = 3) -> bool:
    """Whether a value is a domain or has one inside, as Tune's grid_search is a mapping."""
    if isinstance(value, Domain):
        return True
    if not depth or not isinstance(value, (Mapping, list, tuple)):
        return False
    if isinstance(value, Mapping):
        return "grid_search" in value or any(_holds_domain(v, depth - 1) for v in value.values())
    return any(_holds_domain(each, depth - 1) for each in value)


IMPORTED = ("data", "space", "method", "ops_module")
"""The settings that may name a module."""


def check_importable(configs: Sequence[SearchConfig]) -> None:
    """Refuse what only this process can import.

    Raises:
        ValueError: a setting names the module ``__main__``, which is another one in a trial.
    """
    for config in configs:
        for name in IMPORTED:
            value = getattr(config, name)
            if value is not None and value.partition(":")[0] == "__main__":
                raise ValueError(
                    f"{name} must name a module that the processes of trials can import: a file "
                    f"of its own, got {shown(value)}"
                )


def check_images(configs: Sequence[SearchConfig], images: ImageSet) -> None:
    """Refuse members that do not fit the training images.

    Args:
        configs: from :func:`check_space`.
        images: the training images of all of them.

    Raises:
        ValueError: a batch is larger than the images, or a part of the split lacks a class.
    """
    seen = set()
    for config in configs:
        key = (
            config.validation_fraction,
            config.limit_images,
            config.batch_size,
            config.method,
        )
        if key not in seen:
            seen.add(key)
            _fit(config, images)


def _fit(config: SearchConfig, images: ImageSet) -> None:
    train, _ = rows_of(config, images)
    parts = parts_of(len(train), method_class(config.method).parts, config.seed)
    steps_per_epoch(len(parts[0]), config.batch_size)
