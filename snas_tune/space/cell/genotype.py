"""The architecture of the cell space: a normal and a reduction cell, repeated with the depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from snas_tune.architecture import Architecture, one_line
from snas_tune.checks import TITLE, Check, check_fields, check_value, is_instance
from snas_tune.pictures.shapes import Sheet
from snas_tune.results import Metric
from snas_tune.space.cell.darts_text import cells_from_text, cells_to_text
from snas_tune.space.cell.drawing.panels import cell_words, cells_sheet
from snas_tune.space.cell.graph import INPUTS, NONE, Cell, Edge, cell_edges, whole, whole_edge

__all__ = ["INPUTS", "NONE", "Cell", "Edge", "Genotype", "cell_edges"]

SHORT_OPS = {
    "max_pool_3x3": "max3",
    "avg_pool_3x3": "avg3",
    "skip_connect": "skip",
    "sep_conv_3x3": "sep3",
    "sep_conv_5x5": "sep5",
    "sep_conv_7x7": "sep7",
    "dil_conv_3x3": "dil3",
    "dil_conv_5x5": "dil5",
}
"""How a summary calls an op: the kind, and the width of its kernel."""


A_CELL = is_instance(Cell)
PART = Check(lambda value: value in ("", "normal", "reduction"), "normal, reduction or empty")


@dataclass(frozen=True, slots=True)
class Genotype(Architecture):
    """The discrete result of a search among cells: a normal and a reduction cell."""

    normal: Annotated[Cell, A_CELL]
    reduction: Annotated[Cell, A_CELL]

    def __post_init__(self) -> None:
        check_fields(self)

    space = "cell"
    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("edges", "edges", "", "live edges of both derived cells"),
    )

    @property
    def cells(self) -> dict[str, Cell]:
        """Both cells by name."""
        return {"normal": self.normal, "reduction": self.reduction}

    def live(self) -> Genotype:
        """Both cells without their dead parts, see :meth:`Cell.live`."""
        return Genotype(self.normal.live(), self.reduction.live())

    def ops(self) -> set[str]:
        """The names of the ops that it uses."""
        return {edge.op for cell in self.cells.values() for edge in cell.edges}

    def to_dict(self) -> Mapping[str, Any]:
        """Nodes, edges and concat of each cell, by its name."""
        return {name: _cell_to_dict(cell) for name, cell in self.cells.items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Genotype:
        """The inverse of :meth:`to_dict`. An object without ``space`` is one of snas_tune 0.1.

        Raises:
            KeyError, TypeError, ValueError: the object is no genotype.
        """
        check_value("value", value, is_instance(Mapping))
        if value.get("space", cls.space) != cls.space:
            raise ValueError(f"its space must be {cls.space}, got {value['space']!r}")
        return cls(_cell_from_dict(value["normal"]), _cell_from_dict(value["reduction"]))

    def to_text(self) -> str:
        """The text form of DARTS, see :func:`snas_tune.space.cell.darts_text.cells_to_text`."""
        return cells_to_text(self.normal, self.reduction)

    @staticmethod
    def from_text(text: str) -> Genotype:
        """Read a published genotype, see :func:`~snas_tune.space.cell.darts_text.cells_from_text`.

        Raises:
            ValueError: the text has none of the forms that are published.
        """
        return Genotype(*cells_from_text(text))

    def summary(self) -> str:
        """How many edges the cells have, and which ops they carry.

        ``N 5 edges: 3xsep3 2xskip | R 1 edge: 1xmax3`` is a normal cell with three 3x3 separable
        convolutions and two skips and a reduction cell with one max pooling. The ops come with the
        most frequent first, then by name; names are short as in :data:`SHORT_OPS`, others are
        whole.
        """
        return one_line(f"N {_short_ops(self.normal)} | R {_short_ops(self.reduction)}", None)

    def columns(self) -> Mapping[str, float]:
        """How many edges both cells have."""
        return {"edges": sum(len(cell.edges) for cell in self.cells.values())}

    def parts(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """The edges of each cell, with the op that they carry."""
        return {
            name: [(f"{edge.source} \u2192 {edge.target}", edge.op) for edge in cell.edges]
            for name, cell in self.cells.items()
        }

    def words(self, part: str = "") -> str:
        """The edges of both cells in words, or those of one.

        Raises:
            ValueError: there is no such cell.
        """
        check_value("part", part, PART)
        if part:
            return cell_words(self.cells[part])
        return " ".join(
            f"{name.capitalize()} cell: {cell_words(cell)}" for name, cell in self.cells.items()
        )

    def sheet(self, title: str = "", part: str = "") -> Sheet:
        """Both cells drawn, or one.

        Raises:
            ValueError: there is no such cell.
        """
        check_value("title", title, TITLE)
        check_value("part", part, PART)
        drawn = {part: self.cells[part]} if part else self.cells
        return cells_sheet({f"{name} cell": cell for name, cell in drawn.items()}, title)


def _cell_to_dict(cell: Cell) -> dict[str, Any]:
    return {
        "nodes": cell.nodes,
        "edges": [[edge.op, edge.source, edge.target] for edge in cell.edges],
        "concat": list(cell.concat),
    }


def _cell_from_dict(value: dict[str, Any]) -> Cell:
    edges = tuple(whole_edge(op, source, target) for op, source, target in value["edges"])
    return Cell(whole(value["nodes"]), edges, tuple(whole(node) for node in value["concat"]))


def _short_ops(cell: Cell) -> str:
    counts = Counter(SHORT_OPS.get(edge.op, edge.op) for edge in cell.edges)
    ops = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    edges = "1 edge" if len(cell.edges) == 1 else f"{len(cell.edges)} edges"
    return ": ".join([edges, " ".join(f"{count}x{op}" for op, count in ops)] if ops else [edges])
