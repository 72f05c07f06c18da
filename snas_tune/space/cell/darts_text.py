"""The text forms of published cells: written as DARTS writes them, read as all write them."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from typing import Any

from snas_tune.architecture import MOST_TEXT, one_line
from snas_tune.checks import check_value, is_instance
from snas_tune.space.cell.graph import INPUTS, MOST_NODES, NONE, Cell, whole_edge


def cells_to_text(normal: Cell, reduction: Cell) -> str:
    """The text form of DARTS: ``Genotype(normal=[...], normal_concat=[...], ...)``.

    Where every node has two in-edges the edges are the ``(op, source)`` pairs that all DARTS code
    reads. Otherwise, as SNAS keeps any number, they are the pairs of all edges, ``none`` included,
    that the authors' code reads; or, where two edges join the same nodes, ``(op, source, target)``
    with the number of intermediate nodes as ``nodes``: one for both cells, or
    ``(normal, reduction)``.
    """
    cells = (normal, reduction)
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
        f"Genotype(normal={edges[0]}, normal_concat={list(normal.concat)}, "
        f"reduce={edges[1]}, reduce_concat={list(reduction.concat)}{nodes})"
    )


def cells_from_text(text: str) -> tuple[Cell, Cell]:
    """The normal and the reduction cell of a published genotype; nothing is evaluated.

    Understood is a call ``Genotype(...)``, with or without ``NAME =`` before it, whose edges are
    ``(op, source)`` pairs, two for each node (DARTS and most after it); all edges of the cell, node
    by node, ``none`` included (SNAS, ``edge_all``); one tuple of pairs for each node (GDAS, SETN);
    or ``(op, source, target)``, with ``nodes=`` (:func:`cells_to_text`) or without, and the two
    nodes in either order (FairDARTS). An edge's strength, a last float, is left out.

    Raises:
        ValueError: the text is none of these.
    """
    check_value("text", text, is_instance(str, words="a genotype"))
    arguments = _call_arguments(text)
    nodes = arguments.get("nodes")
    counts = nodes if isinstance(nodes, list) else (nodes, nodes)
    try:
        normal, reduction = (
            _cell_from_entries(arguments[name], arguments.get(f"{name}_concat"), count)
            for name, count in zip(("normal", "reduce"), counts, strict=True)
        )
    except KeyError as error:
        raise ValueError(f"not a genotype: {one_line(text)} (it must have {error})") from error
    except (TypeError, IndexError, ValueError) as error:
        raise ValueError(f"not a genotype: {one_line(text)} ({error})") from error
    return normal, reduction


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
    if len(text) > MOST_TEXT:
        raise ValueError(f"a genotype must have at most {MOST_TEXT} characters, got {len(text)}")
    try:
        with warnings.catch_warnings():  # of odd escapes in a text
            warnings.simplefilter("ignore")
            body = ast.parse(text.strip()).body
        call = getattr(body[0], "value", None) if len(body) == 1 else None
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
        MemoryError,  # Python's parser, of too many brackets
    ) as error:
        raise ValueError(f"not a genotype: {one_line(text)} ({error})") from error
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
            numbers = range(*values)
            if len(numbers) > MOST_NODES:
                raise ValueError(f"a range must name at most {MOST_NODES} nodes, got {numbers}")
            return list(numbers)
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


def _cell_from_entries(
    entries: Sequence[Any], concat: Sequence[int] | None, nodes: int | None
) -> Cell:
    if entries and _is_entry(entries[0]):
        entries = [_without_weight(entry) for entry in entries]
    if entries and _is_entry(entries[0]) and len(entries[0]) == 3:
        # An edge runs from the lower node to the higher one, so either order can be told.
        edges = [whole_edge(op, min(a, b), max(a, b)) for op, a, b in entries]
    else:
        edges = [
            whole_edge(op, source, INPUTS + i)
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
