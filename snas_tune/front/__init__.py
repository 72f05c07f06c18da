"""The front room: the children of a sweep, as a file and as a Pareto front.

- :mod:`snas_tune.front.dominance`: dominance, ranks and hypervolume of plain arrays.
- :mod:`snas_tune.front.running`: the front of points that come one by one.
- :mod:`snas_tune.front.storage`: local paths and object stores, and replacing files there.
- :mod:`snas_tune.front.table`: the versioned schema, and how a front file is read.
- :mod:`snas_tune.front.file`: :class:`FrontFile`, which a sweep writes.
- :mod:`snas_tune.front.recent`: the rows of its last moments, beside it.
- :mod:`snas_tune.front.both`: the file and these rows, read together.
- :mod:`snas_tune.front.pareto_front`: :class:`ParetoFront`, which reads a
  finished or running sweep.
- :mod:`snas_tune.front.text`: the front as a table for the terminal.

It needs neither torch nor Ray, so that a front can be looked at anywhere.
"""

from __future__ import annotations

from snas_tune.front.both import read_table
from snas_tune.front.dominance import hypervolume, nondominated, nondominated_rank
from snas_tune.front.file import FrontFile
from snas_tune.front.pareto_front import ParetoFront
from snas_tune.front.running import RunningFront
from snas_tune.front.storage import check_writable
from snas_tune.front.table import FILE_NAME, FORMAT, SCHEMA, row_settings
from snas_tune.front.text import front_text

__all__ = [
    "FILE_NAME",
    "FORMAT",
    "SCHEMA",
    "FrontFile",
    "ParetoFront",
    "RunningFront",
    "check_writable",
    "front_text",
    "hypervolume",
    "nondominated",
    "nondominated_rank",
    "read_table",
    "row_settings",
]
