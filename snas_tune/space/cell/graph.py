"""A cell as a graph: nodes, edges that carry an op, and the concat of nodes that is its output.

Nodes 0 and 1 are a cell's inputs (the output of the cell before the last, and of the last); the
intermediate nodes are 2, 3, ...  An edge that carries ``none`` is no edge, so none appears here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from snas_tune.checks import COUNT_OR_ZERO, Check, check_fields, is_instance

NONE = "none"
"""The op that drops its edge. It takes part in the search and never in a genotype."""

INPUTS = 2
"""A cell reads the outputs of the two cells before it."""

MOST_NODES = 64
"""Most intermediate nodes of a cell, so that a text that says more is refused and not drawn."""


def cell_edges(nodes: int) -> list[tuple[int, int]]:
    """All edges ``(source, target)`` of a cell of ``nodes`` intermediate nodes, in search order."""
    return [(s, t) for t in range(INPUTS, INPUTS + nodes) for s in range(t)]


A_NODE = Check(
    lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"
)


@dataclass(frozen=True, slots=True)
class Edge:
    """One op between two nodes of a cell."""

    op: Annotated[str, is_instance(str, words="the name of an op")]
    source: Annotated[int, A_NODE]
    target: Annotated[int, A_NODE]

    def __post_init__(self) -> None:
        check_fields(self)


EDGES = Check(
    lambda value: isinstance(value, (list, tuple)) and all(isinstance(e, Edge) for e in value),
    "a list of edges",
)
NODES = Check(
    lambda value: isinstance(value, (list, tuple)) and all(map(A_NODE.test, value)),
    "a list of nodes, whole numbers",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A derived cell. Two edges may join the same two nodes; published cells do that."""

    nodes: Annotated[int, COUNT_OR_ZERO]
    """How many intermediate nodes it has, dead ones included."""

    edges: Annotated[tuple[Edge, ...], EDGES]
    """Sorted by target; edges of one target keep the order in which they were given."""

    concat: Annotated[tuple[int, ...], NODES]
    """The nodes that are concatenated into the output, ascending."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.nodes > MOST_NODES:
            raise ValueError(
                f"a cell must have at most {MOST_NODES} intermediate nodes, got {self.nodes}"
            )
        last = INPUTS + self.nodes - 1
        for edge in self.edges:
            if edge.op == NONE or not 0 <= edge.source < edge.target or edge.target < INPUTS:
                raise ValueError(
                    f"an edge must carry an op from a node to a later intermediate node, got {edge}"
                )
        highest = max([INPUTS - 1, *(e.target for e in self.edges), *self.concat])
        if highest > last:
            raise ValueError(
                f"a cell of {self.nodes} intermediate nodes has nodes 0 to {last}, got {highest}"
            )
        if any(node < INPUTS for node in self.concat):
            raise ValueError(f"concat must name intermediate nodes, got {list(self.concat)}")
        object.__setattr__(self, "edges", tuple(sorted(self.edges, key=lambda e: e.target)))
        object.__setattr__(self, "concat", tuple(sorted(set(self.concat))))

    def alive(self, inputs: Sequence[bool] = (True, True)) -> set[int]:
        """Nodes that a live input reaches; the others hold zeros.

        Args:
            inputs: whether input 0 and input 1 carry anything.
        """
        live = {node for node in range(INPUTS) if inputs[node]}
        for edge in self.edges:  # sorted by target, so a source is settled before it is read
            if edge.source in live:
                live.add(edge.target)
        return live

    def live(self, inputs: Sequence[bool] = (True, True)) -> Cell:
        """The same function with fewer parts: what reads zeros or is never read is removed.

        A node without a live in-edge holds zeros, and every op (as searched: no bias, batch norm
        without affine, statistics recalibrated) maps zeros to zeros, so its out-edges go too. A
        node outside ``concat`` that feeds nothing goes with its in-edges. Numbering is kept.
        """
        alive = self.alive(inputs)
        concat = tuple(node for node in self.concat if node in alive)
        needed = set(concat)
        kept = []
        for edge in reversed(self.edges):
            if edge.source in alive and edge.target in needed:
                needed.add(edge.source)
                kept.append(edge)
        return Cell(self.nodes, tuple(reversed(kept)), concat)

    def in_edges(self, node: int) -> tuple[Edge, ...]:
        """The edges that end in ``node``."""
        return tuple(edge for edge in self.edges if edge.target == node)

    def uses(self, source: int) -> bool:
        """Whether any edge reads ``source``."""
        return any(edge.source == source for edge in self.edges)


def whole(node: Any) -> int:
    """A node's number, or a number of nodes, that a text says.

    Raises:
        ValueError: it is not a whole number.
    """
    if not isinstance(node, int) or isinstance(node, bool):
        raise ValueError(f"a node must be a whole number, got {node!r}")
    return node


def whole_edge(op: Any, source: Any, target: Any) -> Edge:
    """An edge that a text says.

    Raises:
        ValueError: a node is not a whole number.
    """
    return Edge(str(op), whole(source), whole(target))
