"""Where the boxes and arrows of a graph go: layers by longest path, long arrows in lanes beside.

The layering is that of Sugiyama, Tagawa and Toda 1981 ("Methods for Visual Understanding of
Hierarchical System Structures"); boxes of a layer stand in the order of their predecessors' mean.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from auditor.core.figure import Graph

BOX = 36.0
GAP = 16.0
MARGIN = 10.0
LANE = 9.0
WIDEST = 290.0
MOST_ROWS = 17
"""Rows of a column; more start another, as far as the width allows."""
MOST_ACROSS = 5
NARROWEST = 118.0

Point = tuple[float, float]
Edge = tuple[int, int]


@dataclass(frozen=True)
class Spot:
    """The place of a box: its upper left corner and its width."""

    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        """Return the horizontal middle."""
        return self.x + self.width / 2


@dataclass(frozen=True)
class Route:
    """The corners of one arrow, from its start to its head."""

    edge: Edge
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Layout:
    """Everything in pixels; `brackets` has, for each repeat, pieces (x, top, bottom)."""

    spots: tuple[Spot, ...]
    routes: tuple[Route, ...]
    brackets: tuple[tuple[tuple[float, float, float], ...], ...]
    height: float


def laid_out(graph: Graph, width: float) -> Layout:
    """Return where everything goes in a drawing of that width."""
    count = len(graph.nodes)
    edges = sorted({(a, b) for a, b in graph.edges if 0 <= a < b < count})
    rows = _rows(count, edges)
    row_of = {node: row for row, nodes in enumerate(rows) for node in nodes}
    bounds = _columns(rows, row_of, edges, graph, width)
    return _Placed(graph, width, edges, rows, row_of, bounds).layout()


def _rows(count: int, edges: list[Edge]) -> list[list[int]]:
    """Return the boxes by row: each below all that lead to it."""
    into: dict[int, list[int]] = defaultdict(list)
    out: dict[int, list[int]] = defaultdict(list)
    for a, b in edges:
        into[b].append(a)
        out[a].append(b)
    ranks = [0] * count
    for node in range(count):
        ranks[node] = max((ranks[source] + 1 for source in into[node]), default=0)
    for node in reversed(range(count)):
        if not into[node] and out[node]:
            ranks[node] = max(0, min(ranks[target] for target in out[node]) - 1)
    layers: dict[int, list[int]] = defaultdict(list)
    for node, rank in enumerate(ranks):
        layers[rank].append(node)
    rows = []
    for rank in sorted(layers):
        nodes = layers[rank]
        pieces = math.ceil(len(nodes) / MOST_ACROSS)
        size = math.ceil(len(nodes) / pieces)
        rows += [nodes[start : start + size] for start in range(0, len(nodes), size)]
    return rows


def _columns(
    rows: list[list[int]], row_of: dict[int, int], edges: list[Edge], graph: Graph, width: float
) -> list[int]:
    """Return the row with which each column starts: cut where the fewest arrows cross."""
    across = max(map(len, rows), default=1)
    most = max(1, int(width // (across * NARROWEST + 70)))
    columns = min(math.ceil(len(rows) / MOST_ROWS) or 1, most)
    starts = [0]
    for number in range(1, columns):
        ideal = round(number * len(rows) / columns)
        reach = max(1, len(rows) // (columns * 6))
        cuts = range(max(starts[-1] + 1, ideal - reach), min(len(rows), ideal + reach + 1))

        def crossed(cut: int, ideal: int = ideal) -> tuple[int, int]:
            sources = {a for a, b in edges if row_of[a] < cut <= row_of[b]}
            runs = sum(row_of[r.first] < cut <= row_of[r.last] for r in graph.repeats)
            return len(sources) + 2 * runs, abs(cut - ideal)

        starts.append(min(cuts, key=crossed, default=ideal))
    return starts


class _Placed:
    """The layout as it is made: columns first, then boxes, then arrows."""

    def __init__(
        self,
        graph: Graph,
        width: float,
        edges: list[Edge],
        rows: list[list[int]],
        row_of: dict[int, int],
        starts: list[int],
    ) -> None:
        self._graph, self._edges, self._rows, self._row = graph, edges, rows, row_of
        self._starts = starts
        ends = [*starts[1:], len(rows)]
        self._column = [
            n for n, (a, b) in enumerate(zip(starts, ends, strict=True)) for _ in range(a, b)
        ]
        self._lanes = self._assigned()
        self._across = self._between()
        self._spots: dict[int, Spot] = {}
        self._gutters: list[float] = []
        self._place(width)

    def layout(self) -> Layout:
        """Return the boxes, arrows and brackets."""
        tallest = max(
            (row - self._starts[self._column[row]] for row in range(len(self._rows))), default=0
        )
        return Layout(
            spots=tuple(self._spots[node] for node in range(len(self._graph.nodes))),
            routes=tuple(Route(edge, self._points(edge)) for edge in self._edges),
            brackets=tuple(
                self._bracket(range(repeat.first, repeat.last + 1))
                for repeat in self._graph.repeats
            ),
            height=2 * MARGIN + (tallest + 1) * (BOX + GAP) - GAP,
        )

    def _assigned(self) -> dict[int, int]:
        """Return the lane of each box whose arrows pass rows of its own column, inner ones first.

        All arrows of one box share its lane.
        """
        reach: dict[int, int] = {}
        for a, b in self._edges:
            top, bottom = self._row[a], self._row[b]
            if self._column[top] == self._column[bottom] and bottom - top > 1:
                reach[a] = max(reach.get(a, 0), bottom)
        lanes: dict[int, int] = {}
        taken: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for a, bottom in sorted(
            reach.items(), key=lambda item: (item[1] - self._row[item[0]], item)
        ):
            top, lane = self._row[a], 0
            column = self._column[top]
            while any(top < end and start < bottom for start, end in taken[column, lane]):
                lane += 1
            taken[column, lane].append((top, bottom))
            lanes[a] = lane
        return lanes

    def _between(self) -> list[list[int]]:
        """Return the boxes that have arrows from each column, or past it, to a later one."""
        found: list[dict[int, None]] = [{} for _ in self._starts]
        for a, b in self._edges:
            for passed in range(self._column[self._row[a]], self._column[self._row[b]]):
                found[passed][a] = None
        return [list(boxes) for boxes in found]

    def _place(self, width: float) -> None:
        columns = len(self._starts)
        lanes = [0] * columns
        for a, lane in self._lanes.items():
            column = self._column[self._row[a]]
            lanes[column] = max(lanes[column], lane + 1)
        bracketed = {
            self._column[self._row[node]]
            for repeat in self._graph.repeats
            for node in range(repeat.first, repeat.last + 1)
        }
        self._step = min(LANE, 0.4 * width / max(1, sum(lanes) + sum(map(len, self._across))))
        left = [4.0 + 24.0 * (column in bracketed) for column in range(columns)]
        right = [6.0 + (6.0 + self._step * count if count else 0.0) for count in lanes]
        gutters = [10.0 + self._step * len(boxes) for boxes in self._across[:-1]] + [0.0]
        room = (width - sum(left) - sum(right) - sum(gutters)) / columns
        x = 0.0
        for column in range(columns):
            x += left[column]
            self._fill(column, x, room)
            x += room + right[column]
            self._gutters.append(x)
            x += gutters[column]

    def _fill(self, column: int, x: float, room: float) -> None:
        sources: dict[int, list[int]] = defaultdict(list)
        for a, b in self._edges:
            sources[b].append(a)

        def wanted(node: int) -> tuple[float, int]:
            above = [self._spots[a].middle for a in sources[node] if a in self._spots]
            return (sum(above) / len(above) if above else x + room / 2), node

        for row, nodes in enumerate(self._rows):
            if self._column[row] != column:
                continue
            nodes.sort(key=wanted)
            each = min(WIDEST, (room - 12.0 * (len(nodes) - 1)) / len(nodes))
            start = x + (room - each * len(nodes) - 12.0 * (len(nodes) - 1)) / 2
            y = MARGIN + (row - self._starts[column]) * (BOX + GAP)
            for place, node in enumerate(nodes):
                self._spots[node] = Spot(start + place * (each + 12.0), y, each)

    def _points(self, edge: Edge) -> tuple[Point, ...]:
        a, b = edge
        source, target = self._spots[a], self._spots[b]
        top, bottom = self._row[a], self._row[b]
        if self._column[top] != self._column[bottom]:
            return self._across_columns(edge)
        if bottom - top < 2:
            start, end = (source.middle, source.y + BOX), (target.middle, target.y)
            if abs(start[0] - end[0]) < 1:
                return ((end[0], start[1]), end)
            half = (start[1] + end[1]) / 2
            return (start, (start[0], half), (end[0], half), end)
        far = max(self._row[t] for s, t in self._edges if s == a and self._here(a, t))
        passed = [self._spots[n] for row in range(top, far + 1) for n in self._rows[row]]
        lane = max(s.x + s.width for s in passed) + 10.0 + self._step * self._lanes[a]
        return (*self._leaving(a, lane), *self._reaching(b, lane, right=True))

    def _here(self, a: int, b: int) -> bool:
        return self._column[self._row[a]] == self._column[self._row[b]]

    def _across_columns(self, edge: Edge) -> tuple[Point, ...]:
        a, b = edge
        first, last = self._column[self._row[a]], self._column[self._row[b]]
        lanes = [
            self._gutters[c] + 4.0 + self._step * self._across[c].index(a)
            for c in range(first, last)
        ]
        points = list(self._leaving(a, lanes[0]))
        for before, after in pairwise(lanes):
            points += [(before, 3.0), (after, 3.0)]
        return (*points, *self._reaching(b, lanes[-1], right=False))

    def _leaving(self, node: int, lane: float) -> tuple[Point, ...]:
        """Return the way from a box to a lane at its right."""
        spot, row = self._spots[node], self._rows[self._row[node]]
        if row[-1] == node:
            y = spot.y + 0.66 * BOX
            return ((spot.x + spot.width, y), (lane, y))
        y = spot.y + BOX + 5.0
        return ((spot.middle, spot.y + BOX), (spot.middle, y), (lane, y))

    def _reaching(self, node: int, lane: float, *, right: bool) -> tuple[Point, ...]:
        """Return the way from a lane to a box, into the side that it can reach."""
        spot, row = self._spots[node], self._rows[self._row[node]]
        if right and row[-1] == node:
            y = spot.y + 0.34 * BOX
            return ((lane, y), (spot.x + spot.width, y))
        if not right and row[0] == node:
            y = spot.y + 0.5 * BOX
            return ((lane, y), (spot.x, y))
        y = spot.y - 6.0
        return ((lane, y), (spot.middle, y), (spot.middle, spot.y))

    def _bracket(self, nodes: range) -> tuple[tuple[float, float, float], ...]:
        columns: dict[int, list[Spot]] = defaultdict(list)
        for node in nodes:
            columns[self._column[self._row[node]]].append(self._spots[node])
        return tuple(
            (
                min(spot.x for spot in spots) - 9.0,
                min(spot.y for spot in spots),
                max(spot.y for spot in spots) + BOX,
            )
            for _, spots in sorted(columns.items())
        )
