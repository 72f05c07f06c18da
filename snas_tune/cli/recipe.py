"""A recipe: all that is asked of a sweep, from a preset, a sweep file and ``--set``, merged.

A sweep file is YAML or TOML::

    preset: small            # whatever the file leaves out is as in this preset
    search:                  # settings of a search, see `snas-tune settings`
      data: path/to/class/folders
      image_size: 32
      penalty_strength: [0.03, 60]           # a range, of which the searcher proposes values
      temperature_schedule: [linear, cosine]
    sweep:                   # the other flags of `snas-tune sweep`
      trials: 20

The command line wins over ``--set``, that over the file, the file over the preset.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from snas_tune.checks import check_value
from snas_tune.cli.presets import COMMON, PRESETS
from snas_tune.config import VARIED, SearchConfig
from snas_tune.files import read_bounded
from snas_tune.sweep.settings import SweepSettings
from snas_tune.text_checks import PATH
from snas_tune.values import perhaps, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RANGES = {name: name for name in VARIED} | {
    "penalty_strength": "penalty",
    "temperature_schedule": "schedules",
}
"""The settings that a sweep may vary, and the argument of ``sweep_space`` that takes the range."""

SECTIONS = {
    "search": {each.name for each in fields(SearchConfig)} - {"seed"},
    "sweep": {each.name for each in fields(SweepSettings)} - {"resume"},
}
"""The keys of each section. The seed of the section ``sweep`` is that of the searches, too."""


MOST_BYTES = 1 << 18
"""Most bytes of a sweep file."""

MOST_VALUES = 100_000
"""Most values of a sweep file, in which an alias stands for many."""


class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML is untyped
    """Reads YAML, and ``3e-4`` as a number: so does version 1.2, but not PyYAML.

    A key that comes twice is an error, as version 1.2 says, and not the last one.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node.

        Raises:
            yaml.constructor.ConstructorError: it has a key twice.
        """
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, count in Counter(keys).items():
            if count > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"keys must be different, got {shown(key)} twice", node.start_mark
                )
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


class Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes texts that :class:`Loader` would read as numbers in quotes."""


for each in (Loader, Dumper):
    each.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+\Z"),
        list("-+.0123456789"),
    )


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is asked of a sweep. Settings that are not in it have their defaults."""

    preset: str
    search: Mapping[str, Any]
    """Settings of :class:`SearchConfig` by name; those of :data:`RANGES` may be ranges."""

    sweep: Mapping[str, Any]
    """Fields of :class:`SweepSettings` by name."""


def read_recipe(
    preset: str | None = None, file: Path | None = None, assignments: Sequence[str] = ()
) -> Recipe:
    """Merge what is asked for.

    Args:
        preset: its name; the file's, else ``demo``, if not given.
        file: a sweep file.
        assignments: texts such as ``channels=16``.

    Raises:
        ValueError: the file cannot be read; a name or an assignment is wrong.
    """
    asked = _read_file(file) if file else {}
    name = asked.get("preset", "demo") if preset is None else preset
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {shown(name)}")
    layers = (COMMON, PRESETS[name], asked, {"search": dict(map(_assignment, assignments))})
    merged = {
        section: {key: value for layer in layers for key, value in layer.get(section, {}).items()}
        for section in SECTIONS
    }
    return Recipe(name, **merged)


def _read_file(path: Path) -> dict[str, Any]:
    """The sections of a sweep file, every key known."""
    check_value("config", path, PATH)
    try:
        text = read_bounded(path, MOST_BYTES).decode("utf-8-sig")  # some editors begin with a mark
        found = tomllib.loads(text) if path.suffix == ".toml" else read_yaml(text)
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"sweep file {path} cannot be read: {reason}") from error
    if not isinstance(found, dict):
        raise ValueError(f"sweep file {path} must hold sections, got {shown(found)}")
    check_names(found, ("preset", *SECTIONS), f"key of sweep file {path}")
    for section, names in SECTIONS.items():
        values = found[section] = {} if found.get(section) is None else found[section]
        if not isinstance(values, dict):
            raise ValueError(f"section {section} of {path} must hold settings, got {shown(values)}")
        check_names(values, names, f"setting in section {section} of {path}")
    return found


def _assignment(text: str) -> tuple[str, Any]:
    """The name and the value of ``name=value``; the value as in a sweep file."""
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise ValueError(f"set must be NAME=VALUE, got {shown(text)}")
    if name == "seed":
        raise ValueError(
            f"seed must be given as --seed, which fixes all of a sweep, got {shown(text)}"
        )
    check_names([name], SECTIONS["search"], "setting")
    try:
        found = read_yaml(value)
    except ValueError as error:
        raise ValueError(f"value of {name} must be YAML, got {shown(value)}") from error
    return name, found


def check_ranges(settings: Mapping[str, Any]) -> None:
    """Refuse for a setting that a sweep varies what is neither a value nor the ends of a range.

    Raises:
        ValueError: one is empty, or has names.
    """
    for name in RANGES:
        value = settings.get(name, "")
        if value is None or isinstance(value, Mapping) or value == []:
            raise ValueError(f"{name} must be a value or a range, got {shown(value)}")


def read_yaml(text: str) -> Any:
    """The value of a YAML text that somebody else may have written.

    Raises:
        ValueError: it is none, its parts are nested too deep, or aliases make it too long.
    """
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is not None and _length(node, {}) > MOST_VALUES:
            raise ValueError(f"with its aliases it must have at most {MOST_VALUES} values")
        return None if node is None else loader.construct_document(node)
    except RecursionError as error:
        raise ValueError("its parts must not be nested so deep") from error
    except (yaml.YAMLError, OverflowError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _length(node: yaml.Node, known: dict[int, float]) -> float:
    """The values of a node, those of an alias as often as it is used; infinite of a circle."""
    if id(node) not in known:
        known[id(node)] = math.inf
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        nodes = [each for part in parts for each in (part if isinstance(part, tuple) else [part])]
        known[id(node)] = 1 + sum(_length(each, known) for each in nodes)
    return known[id(node)]


def check_names(names: Iterable[Any], known: Iterable[str], what: str) -> None:
    """Refuse an unknown name, and say which known ones are near it.

    Raises:
        ValueError: a name is unknown.
    """
    known = sorted(known)
    for name in names:
        if name not in known:
            hint = perhaps(name, known) or f"known: {', '.join(known)}"
            raise ValueError(f"unknown {what}: {name} ({hint})")


def recipe_text(recipe: Recipe) -> str:
    """A recipe as a sweep file."""
    lines = ["# `snas-tune sweep --config FILE` with this file repeats this sweep."]
    lines.append(f"preset: {recipe.preset}")
    for section, values in (("search", recipe.search), ("sweep", recipe.sweep)):
        lines.append(f"{section}:")
        lines += [f"  {_line(name, value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _line(name: str, value: Any) -> str:
    """A setting as one line of YAML: all of a flow mapping but its braces."""
    text: str = yaml.dump({name: value}, Dumper=Dumper, default_flow_style=True, width=math.inf)
    return text.strip()[1:-1]
