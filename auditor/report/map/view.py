"""The model map: every layer by depth, what was measured of it, and which findings speak of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from auditor.core.figure import Cell
from auditor.core.layer import LayerFacts
from auditor.core.record import AuditRecord
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict
from auditor.report.map.columns import QUANTITIES, Column, columns_of
from auditor.report.map.deep import NEAR, draw_deep
from auditor.report.map.marks import Entry, Mark, entries_of, marks_of
from auditor.report.map.names import span_name
from auditor.report.map.rows import MOST, Content, draw_rows
from auditor.report.map.shapes import NARROW, PAPER, WIDE, Drawing, Shape
from auditor.report.tables import MOST_ROWS, TableView, table_of
from auditor.report.view_finding import FindingView
from auditor.report.wording import WORDS, short_number

SHOWN_SPANS = 8
"""Stretches of layers that are named of one finding."""


@dataclass(frozen=True)
class EntryView:
    """A finding of the list below the map, and where it is on it."""

    number: int
    finding: FindingView
    cause: bool
    spans: tuple[tuple[str, str], ...]
    """Names of layers or of stretches of them, with how many these are where not all."""
    spans_left: int
    elsewhere: tuple[str, ...]
    elsewhere_left: int


@dataclass(frozen=True)
class Unmeasured:
    """A quantity that this audit did not measure, the check that would, and its finding if any."""

    what: str
    check: str
    target: str


@dataclass(frozen=True)
class MapView:
    """The map, which is drawn anew for each page."""

    summary: str
    caption: str
    entries: tuple[EntryView, ...]
    beside: tuple[EntryView, ...]
    """Findings that speak of no layer of the map."""
    unmeasured: tuple[Unmeasured, ...]
    numbers: TableView
    content: Content

    @property
    def wide(self) -> tuple[Drawing, ...]:
        """Return the drawing for a screen."""
        return _drawn(self.content, WIDE)

    @property
    def narrow(self) -> tuple[Drawing, ...]:
        """Return the drawing for a narrow screen."""
        return _drawn(self.content, NARROW)

    @property
    def paper(self) -> tuple[Drawing, ...]:
        """Return the drawing for paper, in pieces of a page at most."""
        return _drawn(self.content, PAPER)


def view_map(record: AuditRecord, known: Mapping[str, FindingView]) -> MapView | None:
    """Return the map of a record, None where it knows no layers; `known` are findings by check."""
    if not record.layers:
        return None
    layers = tuple(map(_safe, record.layers))
    names = [layer.name for layer in layers]
    columns = columns_of(record)
    entries = entries_of(record, names, known)
    marks = marks_of(entries)
    content = Content(layers, columns, marks, tuple(entry.finding for entry in entries))
    return MapView(
        summary=_summary(layers, entries, marks),
        caption=_caption(layers, columns, marks),
        entries=tuple(_entry(entry, names) for entry in entries if entry.rows),
        beside=tuple(_entry(entry, names) for entry in entries if not entry.rows),
        unmeasured=_unmeasured(columns, known),
        numbers=_numbers(content),
        content=content,
    )


def _safe(layer: LayerFacts) -> LayerFacts:
    return replace(
        layer,
        name=clean_text(layer.name),
        kind=clean_text(layer.kind, 80),
        output=clean_text(layer.output, 80),
    )


def _drawn(content: Content, shape: Shape) -> tuple[Drawing, ...]:
    draw = draw_rows if len(content.layers) <= MOST else draw_deep
    return draw(content, shape)


def _entry(entry: Entry, names: Sequence[str]) -> EntryView:
    spans = [_span(names, span) for span in _stretches(entry.rows, 1)]
    if len(spans) > SHOWN_SPANS:
        spans = [_span(names, span) for span in _stretches(entry.rows, NEAR)]
    return EntryView(
        entry.number,
        entry.finding,
        entry.cause,
        tuple(spans[:SHOWN_SPANS]),
        max(0, len(spans) - SHOWN_SPANS),
        entry.elsewhere[:SHOWN_SPANS],
        max(0, len(entry.elsewhere) - SHOWN_SPANS),
    )


def _span(names: Sequence[str], rows: Sequence[int]) -> tuple[str, str]:
    """Return the name of a stretch of layers, and how many these are where some are not meant."""
    many = "" if len(rows) == rows[-1] + 1 - rows[0] else f" ({len(rows):,} layers)"
    return span_name(names[rows[0]], names[rows[-1]]), many


def _stretches(rows: Sequence[int], gap: int) -> list[Sequence[int]]:
    """Return rows in stretches, `gap` at most from one to the next."""
    cuts = [place for place in range(1, len(rows)) if rows[place] > rows[place - 1] + gap]
    return [rows[one:other] for one, other in pairwise([0, *cuts, len(rows)])] if rows else []


def _summary(
    layers: Sequence[LayerFacts], entries: Sequence[Entry], marks: Mapping[int, Mark]
) -> str:
    """Return what the map shows for those who do not see it."""
    said = [_counted(layers, marks)]
    for entry in entries[:6]:
        stretches = _stretches(entry.rows, NEAR)
        if stretches:
            where = "".join(_span([layer.name for layer in layers], stretches[0]))
            more = f" and {len(stretches) - 1} more places" if len(stretches) > 1 else ""
            said.append(f"{where}{more}: {entry.finding.title}.")
    return clean_text(" ".join(said), 1200)


def _counted(layers: Sequence[LayerFacts], marks: Mapping[int, Mark]) -> str:
    verdicts = [mark.verdict for mark in marks.values()]
    failed, warned = verdicts.count(Verdict.FAIL), verdicts.count(Verdict.WARN)
    said = [f"{failed:,} failed"] if failed else []
    said += [counted(warned, "warning")] if warned else []
    return f"{counted(len(layers), 'layer')}, {' and '.join(said) or 'none with a verdict'}."


def _caption(
    layers: Sequence[LayerFacts], columns: Sequence[Column], marks: Mapping[int, Mark]
) -> str:
    """Return what is to be seen, and only the signs that there are."""
    said = ["From the input down to the output, in the order in which layers ran."]
    if not any(layer.ran for layer in layers):
        said = ["In the order of the checkpoint: no layer was seen to run."]
    if any(mark.cause for mark in marks.values()):
        said.append("Shaded: where a likely cause is seen.")
    if not marks:
        said.append("No finding fails or warns of a layer.")
    else:
        said.append("Numbers beside a verdict: the findings in the list below.")
    usual = [
        f"{c.quantity.head} {short_number(g.value)}"
        for c in columns
        for g in c.guides
        if g.severity == "reference"
    ]
    if usual:
        said.append(f"Dashed grey lines: usual values ({', '.join(usual)}).")
    limits = {g.severity for c in columns for g in c.guides} - {"reference"}
    if limits:
        said.append("Dashed amber and solid red lines: limits that warn and fail.")
    edges = {c.edge(v) for c in columns for v in c.values if v is not None}
    if "zero" in edges:
        sign = "On" if len(layers) > MOST else "Hollow, at"
        said.append(f"{sign} the left edge of a column: exactly zero.")
    if "lost" in edges:
        said.append("Red, at the right edge: not finite.")
    return " ".join(said)


def _unmeasured(
    columns: Sequence[Column], known: Mapping[str, FindingView]
) -> tuple[Unmeasured, ...]:
    shown = {column.quantity.kind for column in columns}
    return tuple(
        Unmeasured(q.what, q.check, known[q.check].id if q.check in known else "")
        for q in QUANTITIES
        if q.kind not in shown
    )


def _numbers(content: Content) -> TableView:
    """Return the numbers behind the map; of very many layers those with a verdict come first."""
    many = len(content.layers)
    order, note = list(range(many)), ""
    if many > MOST_ROWS:
        order.sort(key=lambda row: row not in content.marks)
        order = sorted(order[:MOST_ROWS])
        note = f"{MOST_ROWS} of {many:,} layers, those with a verdict before the others."
        note += " The record has them all."
    rows: list[tuple[Cell, ...]] = []
    for row in order:
        layer, mark = content.layers[row], content.marks.get(row)
        rows.append(
            (
                layer.name,
                layer.kind or None,
                layer.output or None,
                layer.parameters,
                WORDS[mark.verdict] if mark else None,
                *(column.values[row] for column in content.columns),
            )
        )
    heads = ("layer", "type", "output", "parameters", "verdict")
    return table_of((*heads, *(c.quantity.what for c in content.columns)), rows, note)
