"""What a cell is: nodes, edges that carry an op, and the concat of nodes that is its output.

Nodes 0 and 1 are a cell's inputs (the output of the cell before the last, and of the last); the
intermediate nodes are 2, 3, ...  An edge that carries ``none`` is no edge, so none appears here.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NONE = "none"
"""The op that drops its edge. It takes part in the search and never in a genotype."""

FORMAT = 1
"""Version of the JSON form. A reader refuses a newer one."""

INPUTS = 2
"""A cell reads the outputs of the two cells before it."""


def cell_edges(nodes: int) -> list[tuple[int, int]]:
    """All edges ``(source, target)`` of a cell of ``nodes`` intermediate nodes, in search order."""
    return [(s, t) for t in range(INPUTS, INPUTS + nodes) for s in range(t)]


@dataclass(frozen=True, slots=True)
class Edge:
    """One op between two nodes of a cell."""

    op: str
    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A derived cell. Two edges may join the same two nodes; published cells do that."""

    nodes: int
    """How many intermediate nodes it has, dead ones included."""

    edges: tuple[Edge, ...]
    """Sorted by target; edges of one target keep the order in which they were given."""

    concat: tuple[int, ...]
    """The nodes that are concatenated into the output, ascending."""

    def __post_init__(self) -> None:
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


@dataclass(frozen=True, slots=True)
class Genotype:
    """The discrete result of a search: a normal and a reduction cell, repeated with the depth."""

    normal: Cell
    reduction: Cell

    def live(self) -> Genotype:
        """Both cells without their dead parts, see :meth:`Cell.live`."""
        return Genotype(self.normal.live(), self.reduction.live())

    def ops(self) -> set[str]:
        """The names of the ops that it uses."""
        return {edge.op for cell in (self.normal, self.reduction) for edge in cell.edges}

    def to_json(self) -> str:
        """A one-line JSON text, equal for equal genotypes."""
        return json.dumps(
            {
                "format": FORMAT,
                "normal": _cell_to_dict(self.normal),
                "reduction": _cell_to_dict(self.reduction),
            },
            separators=(",", ":"),
        )

    @staticmethod
    def from_json(text: str) -> Genotype:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: the text is not a genotype, or of a newer format.
        """
        try:
            value = json.loads(text)
            version = value["format"]
            if version == FORMAT:
                cells = (_cell_from_dict(value[name]) for name in ("normal", "reduction"))
                return Genotype(*cells)
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a genotype in JSON: {_short(text)} ({error!r})") from error
        raise ValueError(f"genotype format must be {FORMAT}, got {version!r}")

    def to_text(self) -> str:
        """The text form of DARTS: ``Genotype(normal=[...], normal_concat=[...], ...)``.

        Where every node has two in-edges the edges are the ``(op, source)`` pairs that all DARTS
        code reads. Otherwise, as SNAS keeps any number, they are the pairs of all edges, ``none``
        included, that the authors' code reads; or, where two edges join the same nodes,
        ``(op, source, target)`` with the number of intermediate nodes as ``nodes``: one for both
        cells, or ``(normal, reduction)``.
        """
        cells = (self.normal, self.reduction)
        counts = [cell.nodes for cell in cells]
        nodes = ""
        if all(map(_is_paired, cells)):
            edges: list[Any] = [[(e.op, e.source) for e in cell.edges] for cell in cells]
        elif all(map(_is_simple, cells)):
            edges = [_all_pairs(cell) for cell in cells]
        else:
            edges = [[(e.op, e.source, e.target) for e in cell.edges] for cell in cells]
            nodes = f", nodes={tuple(counts) if counts[0] != counts[1] else counts[0]}"
        return (
            f"Genotype(normal={edges[0]}, normal_concat={list(self.normal.concat)}, "
            f"reduce={edges[1]}, reduce_concat={list(self.reduction.concat)}{nodes})"
        )

    @staticmethod
    def from_text(text: str) -> Genotype:
        """Read a published genotype; nothing is evaluated.

        Understood is a call ``Genotype(...)``, with or without ``NAME =`` before it, whose edges
        are ``(op, source)`` pairs, two for each node (DARTS and most after it); all edges of the
        cell, node by node, ``none`` included (SNAS, ``edge_all``); one tuple of pairs for each node
        (GDAS, SETN); or ``(op, source, target)``, with ``nodes=`` (:meth:`to_text`) or without, and
        the two nodes in either order (FairDARTS). An edge's strength, a last float, is left out.

        Raises:
            ValueError: the text is none of these.
        """
        arguments = _call_arguments(text)
        nodes = arguments.get("nodes")
        counts = nodes if isinstance(nodes, list) else (nodes, nodes)
        try:
            cells = [
                _cell_from_entries(arguments[name], arguments.get(f"{name}_concat"), count)
                for name, count in zip(("normal", "reduce"), counts, strict=True)
            ]
        except KeyError as error:
            raise ValueError(f"not a genotype: {_short(text)} (it must have {error})") from error
        except (TypeError, IndexError, ValueError) as error:
            raise ValueError(f"not a genotype: {_short(text)} ({error})") from error
        return Genotype(*cells)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57] + "..."


def _cell_to_dict(cell: Cell) -> dict[str, Any]:
    return {
        "nodes": cell.nodes,
        "edges": [[edge.op, edge.source, edge.target] for edge in cell.edges],
        "concat": list(cell.concat),
    }


def _cell_from_dict(value: dict[str, Any]) -> Cell:
    edges = tuple(_edge(op, source, target) for op, source, target in value["edges"])
    return Cell(_whole(value["nodes"]), edges, tuple(_whole(node) for node in value["concat"]))


def _is_paired(cell: Cell) -> bool:
    two_each = cell.nodes > 0 and all(
        len(cell.in_edges(node)) == 2 for node in range(INPUTS, INPUTS + cell.nodes)
    )
    # Seven pairs can read as all edges of four nodes: such a cell must be written otherwise.
    pairs = [(edge.op, edge.source) for edge in cell.edges]
    return two_each and _cell_from_entries(pairs, cell.concat, None) == cell


def _is_simple(cell: Cell) -> bool:
    """Whether there is one edge at most between two nodes, so that all pairs can be listed."""
    joined = [(edge.source, edge.target) for edge in cell.edges]
    return cell.nodes > 0 and len(set(joined)) == len(joined)


def _all_pairs(cell: Cell) -> list[tuple[str, int]]:
    pairs = []
    for node in range(INPUTS, INPUTS + cell.nodes):
        mine = [(edge.op, edge.source) for edge in cell.in_edges(node)]
        held = {source for _, source in mine}
        pairs += mine + [(NONE, source) for source in range(node) if source not in held]
    return pairs


_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
"""The order of a published namedtuple, for one written without names."""

_NUMBERS = ("int", "int32", "int64", "float", "float32", "float64")
"""Calls that wrap a number, as numpy prints its own."""


def _call_arguments(text: str) -> dict[str, Any]:
    """The arguments of the one call in ``text``, by name, as plain values."""
    try:
        (statement,) = ast.parse(text.strip()).body
        call = statement.value  # type: ignore[attr-defined]
        if not isinstance(call, ast.Call):
            raise ValueError("it must be a call Genotype(...)")
        named = {str(word.arg): _value(word.value) for word in call.keywords}
        placed = dict(zip(_FIELDS, map(_value, call.args), strict=False))
    except (
        SyntaxError,
        ValueError,
        AttributeError,
        TypeError,
        LookupError,
        RecursionError,
    ) as error:
        raise ValueError(f"not a genotype: {_short(text)} ({error})") from error
    if "reduction" in named:
        named["reduce"] = named.pop("reduction")
        named["reduce_concat"] = named.pop("reduction_concat", None)
    return {**placed, **named}


def _value(node: ast.expr) -> Any:
    """A literal, or what published genotypes use beside literals.

    That is ``range(...)``, ``list(...)``, lists that are added, and numbers as numpy prints them.
    """
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        values = [_value(argument) for argument in node.args]
        if name == "range":
            return list(range(*values))
        if name in ("list", "tuple", *_NUMBERS) and len(values) == 1:
            return values[0]
        raise ValueError(f"it must be of literals, got a call of {name}")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return list(_value(node.left)) + list(_value(node.right))
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(element) for element in node.elts]
    if isinstance(node, (ast.Constant, ast.UnaryOp)):
        return ast.literal_eval(node)
    raise ValueError(f"it must be of literals, got {type(node).__name__}")


def _without_weight(entry: Sequence[Any]) -> Sequence[Any]:
    """An edge without the strength that some authors print behind it."""
    weighted = len(entry) > 2 and isinstance(entry[-1], float)
    return entry[:-1] if weighted else entry


def _is_entry(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], str)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"a node must be a whole number, got {value!r}")
    return value


def _edge(op: Any, source: Any, target: Any) -> Edge:
    return Edge(str(op), _whole(source), _whole(target))


def _cell_from_entries(
    entries: Sequence[Any], concat: Sequence[int] | None, nodes: int | None
) -> Cell:
    if entries and _is_entry(entries[0]):
        entries = [_without_weight(entry) for entry in entries]
    if entries and _is_entry(entries[0]) and len(entries[0]) == 3:
        # An edge runs from the lower node to the higher one, so either order can be told.
        edges = [_edge(op, min(a, b), max(a, b)) for op, a, b in entries]
    else:
        edges = [
            _edge(op, source, INPUTS + i)
            for i, block in enumerate(_blocks(entries, concat))
            for op, source in block
        ]
    if nodes is None:
        nodes = max([INPUTS - 1, *(e.target for e in edges), *(concat or ())]) - INPUTS + 1
    kept = tuple(edge for edge in edges if edge.op != NONE)
    return Cell(
        nodes, kept, tuple(range(INPUTS, INPUTS + nodes)) if concat is None else tuple(concat)
    )


def _blocks(entries: Sequence[Any], concat: Sequence[int] | None) -> list[list[tuple[str, int]]]:
    """The ``(op, source)`` entries of each node: as nested, or all edges if they fit, or two."""
    if not all(_is_entry(entry) for entry in entries):
        if not all(entries):
            raise ValueError("every node must list its edges, got a node without any")
        return [[(op, source) for op, source, *_ in block] for block in entries]
    blocks, start, size = [], 0, INPUTS
    while start < len(entries):
        blocks.append([(op, source) for op, source in entries[start : start + size]])
        start, size = start + size, size + 1
    whole = all(sorted(s for _, s in block) == list(range(len(block))) for block in blocks)
    fits = start == len(entries) and (not concat or max(concat) < INPUTS + len(blocks))
    if whole and fits:
        return blocks
    if len(entries) % 2:
        raise ValueError(
            f"a cell must list two edges for each node or all of them, got {len(entries)} edges"
        )
    pairs = [(op, source) for op, source in entries]
    return [pairs[i : i + 2] for i in range(0, len(pairs), 2)]
