"""What a sweep writes into event files for the Pareto tab: names, and the form of each of them.

A run holds four time series for one trial, all with the plugin name :data:`PLUGIN`:

- :data:`CHILDREN`, a float64 vector for each evaluated child, its step the epoch. Scalars of
  TensorBoard are float32, in which two different FLOPs above 16 million may be one.
- :data:`ARCHITECTURES`, the architecture of that child as JSON. Of format 1 it is called
  :data:`GENOTYPES`; a run that went on with a newer version has both.
- :data:`SETTINGS`, once: a JSON object with the ``trial``'s name, the ``experiment``'s path, and
  the ``constants`` that all its rows of the front file share.
- :data:`CHECKPOINTS`, whenever they change: a JSON object with the path of each kept checkpoint,
  relative to the experiment, by epoch. The last one counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snas_tune.files import read_json
from snas_tune.results import ARCHITECTURE, OBJECTIVES, Metric

PLUGIN = "pareto"
"""The name of the tab in TensorBoard's addresses, and of its data in event files."""

FORMAT = 2
"""Version of the form. A reader refuses a newer one."""

CHILDREN, ARCHITECTURES, GENOTYPES, SETTINGS, CHECKPOINTS = (
    f"pareto/{name}" for name in ("children", "architecture", "genotype", "settings", "checkpoints")
)

RENAMED = {"genotype": ARCHITECTURE, "dearest_flops": "largest_flops"}
"""Columns of format 1 that have another name since."""


@dataclass(frozen=True, slots=True)
class ChildrenForm:
    """The metadata of :data:`CHILDREN`: what its vectors mean."""

    columns: tuple[Metric, ...]
    """One for each number of a vector."""

    integers: frozenset[str]
    """Names of those columns that are whole numbers."""

    fields: tuple[str, ...]
    """All columns of the front file, in its order."""

    objectives: tuple[tuple[str, str], ...] = OBJECTIVES
    """Name and mode of each objective of the sweep."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the columns."""
        return tuple(column.name for column in self.columns)

    def to_json(self) -> bytes:
        """The bytes of the metadata's content."""
        return json.dumps(
            {
                "format": FORMAT,
                "columns": [[m.name, m.unit, m.direction, m.meaning] for m in self.columns],
                "integers": sorted(self.integers),
                "fields": self.fields,
                "objectives": self.objectives,
            }
        ).encode()

    @staticmethod
    def from_json(content: bytes) -> ChildrenForm:
        """The inverse of :meth:`to_json`; columns of older formats get the names of this one.

        Raises:
            ValueError: it is none, or of a newer format.
        """
        try:
            value: dict[str, Any] = read_json(content)
            if value["format"] > FORMAT:
                raise ValueError(f"format of the children must be {FORMAT}, got {value['format']}")
            renamed = RENAMED if value["format"] == 1 else {}
            return ChildrenForm(
                tuple(
                    Metric(renamed.get(name, name), *texts)
                    for name, *texts in _strings(value["columns"], 4)
                ),
                frozenset(value["integers"]),
                tuple(renamed.get(name, name) for name in value["fields"]),
                tuple((name, mode) for name, mode in _strings(value["objectives"], 2)),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the form of children: {content[:80]!r}") from error


def _strings(rows: Sequence[Sequence[str]], width: int) -> list[Sequence[str]]:
    if any(len(row) != width or not all(isinstance(text, str) for text in row) for row in rows):
        raise TypeError("texts are missing")
    return list(rows)
