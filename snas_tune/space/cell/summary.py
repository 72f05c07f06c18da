"""A cell in a few words, for tables and hints."""

from __future__ import annotations

from collections import Counter

from snas_tune.space.cell.genotype import Cell, Genotype

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
"""How :func:`short_cell` calls an op: the kind, and the width of its kernel."""


def short_cell(genotype: str | Genotype) -> str:
    """How many edges the cells have, and which ops they carry.

    ``N 5 edges: 3xsep3 2xskip | R 1 edge: 1xmax3`` is a normal cell with three 3x3 separable
    convolutions and two skips and a reduction cell with one max pooling. The ops come with the most
    frequent first, then by name; the names are short as in :data:`SHORT_OPS`, others are whole.

    Args:
        genotype: as in the front file, or decoded.

    Raises:
        ValueError: the text is no genotype.
    """
    if isinstance(genotype, str):
        genotype = Genotype.from_json(genotype)
    return f"N {_short_ops(genotype.normal)} | R {_short_ops(genotype.reduction)}"


def _short_ops(cell: Cell) -> str:
    counts = Counter(SHORT_OPS.get(edge.op, edge.op) for edge in cell.edges)
    ops = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    edges = "1 edge" if len(cell.edges) == 1 else f"{len(cell.edges)} edges"
    return ": ".join([edges, " ".join(f"{count}x{op}" for op, count in ops)] if ops else [edges])
