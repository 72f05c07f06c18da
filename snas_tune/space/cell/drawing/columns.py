"""The order of a cell's parts before they get a size: columns by depth, and lanes between blocks.

A block stands in the column of its depth, the longest path from the inputs. A source that is read
further away gets one *lane* in each column between, so no line ever crosses a block: lines run in
lanes and in the gaps between columns only. All lines of one source share its lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from snas_tune.space.cell.graph import INPUTS, Cell

Place = tuple[int, int]
"""``(column, node)``: the node's block if the column is its depth, else a lane of that node."""

Columns = tuple[tuple[Place, ...], ...]

SWEEPS = 8
"""Passes over the columns to find their order; more find no better one at the size of cells."""

STEPS = 60
"""Passes over the columns to place them, until long chains are straight to within a pixel."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns of blocks and lanes, in order, and the links between neighbouring columns."""

    depth: Mapping[int, int]
    """The column of each node that is shown; the output is node :attr:`output`."""

    output: int
    """The number that stands for the output: one after the last node."""

    columns: Columns
    links: tuple[tuple[Place, Place], ...]

    def is_lane(self, place: Place) -> bool:
        """Whether lines only pass there."""
        column, node = place
        return self.depth[node] != column


def grid(cell: Cell) -> Grid:
    """Columns, lanes and links of ``cell``, ordered so that few lines cross."""
    depth = _depths(cell)
    output = INPUTS + cell.nodes
    joins = [(edge.source, edge.target) for edge in cell.edges]
    joins += [(node, output) for node in cell.concat]
    places = {(column, node) for node, column in depth.items()}
    links = []
    for source, target in joins:
        stops = [(column, source) for column in range(depth[source], depth[target])]
        places.update(stops)
        links += list(zip(stops, [*stops[1:], (depth[target], target)], strict=True))
    columns = tuple(
        tuple(sorted(place for place in places if place[0] == column))
        for column in range(depth[output] + 1)
    )
    # Edges of one source share lanes: the share of a lane counts once, each edge's end for itself.
    shared = tuple(
        link for i, link in enumerate(links) if link[1][1] != link[0][1] or link not in links[:i]
    )
    return Grid(depth, output, _ordered(columns, shared), shared)


def _depths(cell: Cell) -> dict[int, int]:
    """Column of each shown node: a node without any edge, outside the concat, is not shown."""
    depth = dict.fromkeys(range(INPUTS), 0)
    shown = {edge.source for edge in cell.edges} | {edge.target for edge in cell.edges}
    for node in sorted((shown | set(cell.concat)) - set(depth)):
        depth[node] = 1 + max((depth[edge.source] for edge in cell.in_edges(node)), default=0)
    depth[INPUTS + cell.nodes] = 1 + max(depth.values())
    return depth


def neighbours(
    links: Iterable[tuple[Place, Place]],
) -> tuple[dict[Place, list[Place]], dict[Place, list[Place]]]:
    """The places before and after each place."""
    before: dict[Place, list[Place]] = {}
    after: dict[Place, list[Place]] = {}
    for source, target in links:
        before.setdefault(target, []).append(source)
        after.setdefault(source, []).append(target)
    return before, after


def _ordered(columns: Columns, links: Sequence[tuple[Place, Place]]) -> Columns:
    """Barycentre sweeps to and fro (Sugiyama et al., 1981); the order with fewest crossings wins.

    The inputs keep their order, which readers expect.
    """
    before, after = neighbours(links)
    best, current = columns, list(columns)
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        indices = range(1, len(columns)) if forth else range(len(columns) - 2, 0, -1)
        for index in indices:
            rank = _ranks(current)
            beside = before if forth else after
            middle = {
                place: sum(rank[other] for other in beside[place]) / len(beside[place])
                if beside.get(place)
                else rank[place]
                for place in current[index]
            }
            current[index] = tuple(sorted(current[index], key=middle.__getitem__))
        best = min(best, tuple(current), key=lambda order: crossings(order, links))
    return best


def _ranks(columns: Iterable[Sequence[Place]]) -> dict[Place, float]:
    """Where a place stands in its column, between 0 and 1."""
    return {
        place: (index + 0.5) / len(column)
        for column in columns
        for index, place in enumerate(column)
    }


def crossings(columns: Columns, links: Sequence[tuple[Place, Place]]) -> int:
    """How many pairs of links cross in a gap."""
    rank = _ranks(columns)
    return sum(
        a[0] == c[0] and (rank[a] - rank[c]) * (rank[b] - rank[d]) < 0
        for i, (a, b) in enumerate(links)
        for c, d in links[:i]
    )


def centres(
    grid: Grid, size: Callable[[Place], float], gap: Callable[[Place, Place], float]
) -> dict[Place, float]:
    """Where each place is centred across the columns, each near to what it is linked with.

    Args:
        grid: the places, in order.
        size: a place's extent across the column.
        gap: the space to keep between two places that follow each other.
    """
    before, after = neighbours(grid.links)
    centre: dict[Place, float] = {}
    for column in grid.columns:
        centre.update(_packed(column, [0.0] * len(column), size, gap))
    for sweep in range(STEPS):
        order = grid.columns[1:] if sweep % 2 == 0 else grid.columns[-2::-1]
        for column in order:
            wishes = []
            for place in column:
                others = before.get(place, []) + after.get(place, [])
                if grid.is_lane(place):  # straight on: bends for no reason are hard to follow
                    others = [other for other in others if other[1] == place[1]]
                values = [centre[other] for other in others] or [centre[place]]
                wishes.append(sum(values) / len(values))
            centre.update(_packed(column, wishes, size, gap))
    return centre


def _packed(
    column: Sequence[Place],
    wishes: Sequence[float],
    size: Callable[[Place], float],
    gap: Callable[[Place, Place], float],
) -> dict[Place, float]:
    """The positions nearest to ``wishes``, in squares, that keep order and distance."""
    offsets = [0.0]
    for one, other in pairwise(column):
        offsets.append(offsets[-1] + (size(one) + size(other)) / 2 + gap(one, other))
    fitted = isotonic([wish - offset for wish, offset in zip(wishes, offsets, strict=True)])
    return {p: x + offset for p, x, offset in zip(column, fitted, offsets, strict=True)}


def isotonic(values: Sequence[float]) -> list[float]:
    """The ascending sequence nearest to ``values`` in squares: pool adjacent violators."""
    pools: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            other, more = pools.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]
