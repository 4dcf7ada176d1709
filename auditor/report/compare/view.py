"""What a comparison of two audits shows, in words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from auditor.core.compare import compared
from auditor.core.record import AuditRecord
from auditor.core.side_by_side import (
    Difference,
    MetricPair,
    environment_apart,
    metric_pairs,
    settings_apart,
    subject_apart,
)
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict
from auditor.report.compared import ChangeGroup, groups_of, summary
from auditor.report.wording import WORDS, date, interval, number, prose

MOST_DIFFERENCES = 200


@dataclass(frozen=True)
class Side:
    """One of the two audits."""

    label: str
    source: str
    started: str
    verdict: Verdict
    word: str
    checkpoint: str
    """The first digits of its hash."""


@dataclass(frozen=True)
class MetricRow:
    """A metric in both audits; `apart` where the difference is beyond the intervals."""

    check: str
    name: str
    before: str
    before_interval: str
    after: str
    after_interval: str
    difference: str
    apart: bool


@dataclass(frozen=True)
class DifferenceRow:
    """A setting in both audits."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class DifferenceTable:
    """In what two audits differ besides their findings."""

    title: str
    rows: tuple[DifferenceRow, ...]
    left: int
    """Rows that are not shown."""


@dataclass(frozen=True)
class CompareView:
    """A whole comparison."""

    name: str
    headline: str
    sides: tuple[Side, Side]
    cautions: tuple[str, ...]
    groups: tuple[ChangeGroup, ...]
    fine: str
    metrics: tuple[MetricRow, ...]
    tables: tuple[DifferenceTable, ...]

    def of(self, check: str) -> tuple[MetricRow, ...]:
        """Return the metrics of one check."""
        return tuple(row for row in self.metrics if row.check == check)


def view_compare(before: AuditRecord, after: AuditRecord, sources: tuple[str, str]) -> CompareView:
    """Return everything that a comparison shows; `sources` name the records for people."""
    told = compared(before, after, sources[0])
    groups = groups_of(told)
    name = clean_text(after.subject.name, 120) or "unnamed"
    fine = counted(told.fine, "check") if told.fine else ""
    return CompareView(
        name=name,
        headline=f"{name}: {summary(told)}.",
        sides=(_side("Before", before, sources[0]), _side("After", after, sources[1])),
        cautions=tuple(prose(text, 300) for text in told.cautions),
        groups=groups,
        fine=f"{fine} found nothing wrong in either audit." if fine else "",
        metrics=tuple(map(_metric, _in_both(metric_pairs(before, after)))),
        tables=tuple(
            _table(title, rows)
            for title, rows in (
                ("What differs of the subject", subject_apart(before, after)),
                ("What differs of the settings", settings_apart(before, after)),
                ("What differs of the environment", environment_apart(before, after)),
            )
            if rows
        ),
    )


def _in_both(pairs: Sequence[MetricPair]) -> Iterator[MetricPair]:
    """Yield the metrics of checks of which both audits measured the same."""
    both = {pair.check for pair in pairs if pair.before is not None and pair.after is not None}
    return (pair for pair in pairs if pair.check in both)


def _side(label: str, record: AuditRecord, source: str) -> Side:
    file = record.subject.checkpoint
    return Side(
        label=label,
        source=prose(source, 200),
        started=date(record.volatile.started),
        verdict=record.verdict,
        word=WORDS[record.verdict],
        checkpoint=clean_text(file.sha256[:12], 40) if file else "",
    )


def _metric(pair: MetricPair) -> MetricRow:
    unit = pair.unit
    values = [
        ("–", "") if one is None else (number(one.value, unit), interval(one.low, one.high, unit))
        for one in (pair.before, pair.after)
    ]
    return MetricRow(
        check=clean_text(pair.check, 80),
        name=prose(pair.name, 120),
        before=values[0][0],
        before_interval=values[0][1],
        after=values[1][0],
        after_interval=values[1][1],
        difference=_difference(pair.difference, unit),
        apart=pair.apart,
    )


def _difference(value: float | None, unit: str) -> str:
    """Return how much a metric grew, with its sign; shares in points of a per cent."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    shown = number(abs(value), unit)
    if unit in {"share", "%"}:
        shown = f"{shown.removesuffix('%').rstrip()} points"
    return f"{'+' if value > 0 else '−'}{shown}"


def _table(title: str, rows: Iterable[Difference]) -> DifferenceTable:
    found = [DifferenceRow(r.what, _said(r.before), _said(r.after)) for r in rows]
    shown = found[:MOST_DIFFERENCES]
    return DifferenceTable(title, tuple(shown), len(found) - len(shown))


def _said(text: str | None) -> str:
    return "not set" if text is None else text
