"""Tables as they are shown: those that are figures, and the numbers behind plots."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from auditor.core.figure import (
    Bars,
    Cell,
    Graph,
    Guide,
    Heatmap,
    Histogram,
    Lines,
    Series,
    Stretch,
    Table,
)
from auditor.core.text import clean_text
from auditor.report.selection import MOST_SERIES, shown_bars
from auditor.report.wording import number, prose, says

Plot = Lines | Bars | Histogram | Heatmap | Graph
"""The figures that are drawn; the others are tables and pictures."""

MOST_ROWS = 60
"""Rows of the numbers behind a plot."""
MOST_TABLE_ROWS = 1000
SHOWN_ROWS = 12
"""Rows of a table that stand open; the rest is folded."""
PRINTED_ROWS = 40
"""Rows of a table on paper, which can't fold."""
MOST_COLUMNS = 12
FEW_LETTERS = 16
"""Letters that a narrow column has room for."""


@dataclass(frozen=True)
class TableView:
    """Text by rows, out of `total`; columns of numbers are aligned at the right."""

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    total: int = 0

    @property
    def printed(self) -> tuple[tuple[str, ...], ...]:
        """Return the rows that stand on paper."""
        return self.rows[:PRINTED_ROWS]

    @property
    def brief(self) -> tuple[bool, ...]:
        """Tell which columns of words, after the first, hold few where another holds many."""
        longest = [
            0 if number else max((len(row[place]) for row in self.rows), default=0)
            for place, number in enumerate(self.numeric)
        ]
        roomy = max(longest[1:], default=0) > FEW_LETTERS
        return tuple(
            roomy and place > 0 and 0 < most <= FEW_LETTERS for place, most in enumerate(longest)
        )

    @property
    def first(self) -> tuple[tuple[str, ...], ...]:
        """Return the rows that stand open."""
        return self.rows if len(self.rows) <= SHOWN_ROWS + 3 else self.rows[:SHOWN_ROWS]

    @property
    def rest(self) -> tuple[tuple[str, ...], ...]:
        """Return the rows that are folded."""
        return self.rows[len(self.first) :]


def table_of(columns: Sequence[str], rows: Sequence[Sequence[Cell]], note: str = "") -> TableView:
    """Return a table of plain values."""
    wide = len(columns)
    numeric = tuple(
        any(place < len(row) and _is_number(row[place]) for row in rows)
        and all(place >= len(row) or row[place] is None or _is_number(row[place]) for row in rows)
        for place in range(wide)
    )
    return TableView(
        columns=tuple(map(clean_text, columns)),
        numeric=numeric,
        rows=tuple(
            tuple(_cell(row[place] if place < len(row) else None) for place in range(wide))
            for row in rows
        ),
        note=note,
    )


def shown_table(figure: Table) -> TableView:
    """Return a figure that is a table, cut to what a page can bear."""
    note = ""
    if len(figure.rows) > MOST_TABLE_ROWS:
        note = f"The first {MOST_TABLE_ROWS} of {len(figure.rows):,} rows; the record has them all."
    table = table_of(figure.columns[:MOST_COLUMNS], figure.rows[:MOST_TABLE_ROWS], note)
    return replace(table, total=len(figure.rows))


def numbers_of(figure: Plot) -> TableView:
    """Return the numbers behind a plot."""
    match figure:
        case Bars():
            return _bars(figure)
        case Lines():
            return _lines(figure)
        case Histogram():
            rows = list(zip(figure.edges, figure.edges[1:], figure.counts, strict=False))
            note = _guides(figure.guides)
            return table_of(("From", "To", "Count"), *_cut(rows, note))
        case Heatmap():
            return _heatmap(figure)
        case Graph():
            return _graph(figure)


def _bars(figure: Bars) -> TableView:
    chosen = shown_bars(figure, MOST_ROWS)
    banded = min(len(figure.low), len(figure.high)) >= len(figure.values) > 0
    columns = ("Name", clean_text(figure.label, 60) or "Value", *(("Low", "High") * banded))
    rows = [
        (
            figure.labels[index],
            figure.values[index],
            *((figure.low[index], figure.high[index]) if banded else ()),
        )
        for index in chosen
    ]
    total = min(len(figure.labels), len(figure.values))
    cut = f"The {len(chosen)} worst of {total:,}. " if total > len(chosen) else ""
    return table_of(columns, rows, (cut + _guides(figure.guides)).strip())


def _lines(figure: Lines) -> TableView:
    series = figure.series[:MOST_SERIES]
    note = f"{_guides(figure.guides)} {_stretches(figure.stretches)}".strip()
    label = figure.x_label or "x"
    if series and all(one.x == series[0].x for one in series) and len(series) < MOST_COLUMNS:
        rows: list[tuple[Cell, ...]] = [
            (_position(x, figure), *(one.y[i] if i < len(one.y) else None for one in series))
            for i, x in enumerate(series[0].x)
        ]
        return table_of((label, *(one.name for one in series)), *_cut(rows, note))
    long: list[tuple[Cell, ...]] = [
        (one.name, _position(x, figure), y) for one in series for x, y in _points(one)
    ]
    return table_of(("Curve", label, figure.y_label or "y"), *_cut(long, note))


def _stretches(stretches: Sequence[Stretch]) -> str:
    said = [
        f"{clean_text(one.name, 60)} at {number(one.start)}"
        if one.start == one.end
        else f"{clean_text(one.name, 60)} from {number(one.start)} to {number(one.end)}"
        for one in stretches
    ]
    return f"Marked: {'; '.join(said)}." if said else ""


def _points(one: Series) -> list[tuple[float, float]]:
    return list(zip(one.x, one.y, strict=False))


def _position(x: float, figure: Lines) -> Cell:
    if figure.x_names and math.isfinite(x) and 0 <= x < len(figure.x_names):
        return figure.x_names[int(x)]
    return x


def _heatmap(figure: Heatmap) -> TableView:
    cells = [
        (_named(figure.y_names, row), _named(figure.x_names, column), value)
        for row, values in enumerate(figure.values)
        for column, value in enumerate(values)
    ]
    note = ""
    if len(cells) > MOST_ROWS:
        note = f"The {MOST_ROWS} largest of {len(cells):,} cells."
        cells.sort(key=lambda cell: -abs(cell[2]) if math.isfinite(cell[2]) else -math.inf)
    columns = (figure.y_label or "Row", figure.x_label or "Column", figure.label or "Value")
    return table_of(columns, cells[:MOST_ROWS], note)


def _graph(figure: Graph) -> TableView:
    names = [node.name for node in figure.nodes]
    fed: dict[int, list[str]] = {}
    for a, b in sorted(figure.edges):
        fed.setdefault(b, []).append(_named(tuple(names), a))
    rows = [
        (node.name, node.note or None, node.aside or None, ", ".join(fed.get(place, [])) or None)
        for place, node in enumerate(figure.nodes[:MOST_ROWS])
    ]
    repeats = "; ".join(
        f"{_named(tuple(names), r.first)} to {_named(tuple(names), r.last)} {r.times:,} times"
        for r in figure.repeats
    )
    return table_of(
        ("Box", "What it is", "Output", "Fed by"), rows, f"Repeated: {repeats}." if repeats else ""
    )


def _named(names: tuple[str, ...], place: int) -> str:
    return names[place] if 0 <= place < len(names) else str(place)


def _cut(rows: Sequence[tuple[Cell, ...]], note: str) -> tuple[Sequence[tuple[Cell, ...]], str]:
    if len(rows) <= MOST_ROWS:
        return rows, note
    stride = math.ceil(len(rows) / MOST_ROWS)
    kept = rows[::stride]
    return kept, f"{len(kept)} of {len(rows):,} points, evenly chosen. {note}".strip()


def _guides(guides: Sequence[Guide]) -> str:
    if not guides:
        return ""
    said = [
        label if says(label, guide.value) else f"{label} ({number(guide.value)})"
        for guide, label in ((guide, prose(guide.label, 200)) for guide in guides[:20])
    ]
    return f"Drawn across the plot: {'; '.join(said)}."


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _cell(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return prose(cell, 300)
    return number(cell)
