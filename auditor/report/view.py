"""What the pages of a report show, in which order, from a record alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath

from auditor.core.finding import Finding
from auditor.core.record import AuditRecord, Section
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.report.answer import answer, headline, sureness, unflawed
from auditor.report.compared import ComparedView, view_compared
from auditor.report.map.view import MapView, view_map
from auditor.report.past import PastView, view_past
from auditor.report.view_audit import AuditView, Row, data_line, view_audit
from auditor.report.view_cause import CauseView, view_cause
from auditor.report.view_finding import FindingView, Ids, view_finding
from auditor.report.wording import WORDS, Span, date, prose, rerun

FIRST_CAUSES = 3
"""Causes that are shown at first sight; the others are folded."""

FIRST_FINDINGS = 8
"""Findings of no known cause that are listed under what to fix first; others are counted."""

_ORDER = {
    Verdict.FAIL: 0,
    Verdict.ERROR: 1,
    Verdict.INCOMPLETE: 1,
    Verdict.WARN: 2,
    Verdict.INFO: 4,
    Verdict.PASS: 5,
    Verdict.NOT_APPLICABLE: 6,
}
_WAIVED = 3


@dataclass(frozen=True)
class Count:
    """How many findings of a section have one verdict."""

    verdict: Verdict
    text: str


@dataclass(frozen=True)
class SectionView:
    """A section, its findings in groups, the worst first in each."""

    id: str
    title: str
    verdict: Verdict
    word: str
    counts: tuple[Count, ...]
    open: tuple[FindingView, ...]
    waived: tuple[FindingView, ...]
    notes: tuple[FindingView, ...]
    passed: tuple[FindingView, ...]
    skipped: tuple[FindingView, ...]
    past: PastView | None = None
    """The audits before, in the section on tracking."""


@dataclass(frozen=True)
class PageView:
    """A whole report."""

    name: str
    verdict: Verdict
    word: str
    answer: str
    """May the model ship?"""
    headline: str
    sureness: str
    error: str
    alarms: tuple[str, ...]
    """What whoever reads the report has to know of how the audit was made, before all else."""
    compared: ComparedView | None
    facts: tuple[Row, ...]
    running: str
    causes: tuple[CauseView, ...]
    more_causes: tuple[CauseView, ...]
    found: tuple[FindingView, ...]
    """What failed or gave a warning and is not waived, the worst first."""
    first: tuple[FindingView, ...]
    """Those of no known cause."""
    first_left: int
    unflawed: tuple[str, str]
    """A title and a sentence for where there is nothing to fix."""
    sections: tuple[SectionView, ...]
    verdicts: tuple[tuple[str, str, int], ...]
    """What findings can be told apart by: its name, its word, and how many there are."""
    unjudged: tuple[tuple[FindingView, ...], ...]
    """What could not be judged; what one reason explains stands together."""
    map: MapView | None
    audit: AuditView


def view_page(record: AuditRecord) -> PageView:
    """Return everything that a report of the record shows."""
    ids = Ids()
    folder = str(record.spec.get("output", {}).get("dir", ""))
    again = partial(rerun, command=record.command, folder=folder)
    past = view_past(record.volatile.past)
    sections = tuple(
        _section(section, ids, again, past if section.id == "tracking" else None)
        for section in record.sections
    )
    explained = {clean_text(check, 80) for cause in record.causes for check in cause.findings}
    found = sorted(
        (
            finding
            for section in sections
            for finding in section.open
            if finding.verdict in {Verdict.FAIL, Verdict.WARN}
        ),
        key=lambda finding: _ORDER[finding.verdict],
    )
    first = [finding for finding in found if finding.check not in explained]
    unjudged = [
        finding
        for section in sections
        for finding in (*section.open, *section.skipped)
        if finding.verdict in {Verdict.ERROR, Verdict.INCOMPLETE, Verdict.NOT_APPLICABLE}
    ]
    known = _known(sections)
    facts, causes = _facts(record), tuple(view_cause(cause, known) for cause in record.causes)
    return PageView(
        name=clean_text(record.subject.name, 120) or "unnamed",
        verdict=record.verdict,
        word=WORDS[record.verdict],
        answer=answer(record),
        headline=headline(record),
        sureness=sureness(record),
        error=prose(record.error) if record.error is not None else "",
        alarms=_alarms(record),
        compared=view_compared(record.comparison),
        facts=facts,
        running=_running(record),
        causes=causes[:FIRST_CAUSES],
        more_causes=causes[FIRST_CAUSES:],
        found=tuple(found),
        first=tuple(first[:FIRST_FINDINGS]),
        first_left=max(len(first) - FIRST_FINDINGS, 0),
        unflawed=unflawed(record),
        sections=sections,
        verdicts=_verdicts(record),
        unjudged=_by_reason(sorted(unjudged, key=lambda finding: _ORDER[finding.verdict])),
        map=view_map(record, known),
        audit=view_audit(record),
    )


def _alarms(record: AuditRecord) -> tuple[str, ...]:
    checkpoint = record.subject.checkpoint
    if checkpoint is None or not checkpoint.pickle_ran:
        return ()
    return (
        "The checkpoint's pickle was run (--allow-pickle): code out of the file could do anything "
        "on the machine that audited it, and change what this report says. It ran because whoever "
        f"started the audit vouched for sha256:{clean_text(checkpoint.sha256, 80)}.",
    )


def _by_reason(findings: list[FindingView]) -> tuple[tuple[FindingView, ...], ...]:
    groups: dict[tuple[Verdict, tuple[Span, ...]], list[FindingView]] = {}
    for finding in findings:
        groups.setdefault((finding.verdict, finding.summary), []).append(finding)
    return tuple(map(tuple, groups.values()))


def _verdicts(record: AuditRecord) -> tuple[tuple[str, str, int], ...]:
    names = ["waived" if f.waived is not None else f.verdict.value for f in record.findings]
    words = {verdict.value: WORDS[verdict] for verdict in sorted(_ORDER, key=_ORDER.__getitem__)}
    words["waived"] = "Waived"
    return tuple(
        (name, word, count) for name, word in words.items() if (count := names.count(name))
    )


def _section(
    section: Section, ids: Ids, again: Callable[[str], str], past: PastView | None
) -> SectionView:
    ordered = sorted(section.findings, key=_place)
    groups: dict[int, list[FindingView]] = {place: [] for place in range(7)}
    for finding in ordered:
        groups[_place(finding)].append(view_finding(finding, ids, again))
    return SectionView(
        id=ids.new("section", section.id),
        title=prose(section.title, 120),
        verdict=section.verdict,
        word=WORDS[section.verdict],
        counts=_counts(section),
        open=(*groups[0], *groups[1], *groups[2]),
        waived=tuple(groups[_WAIVED]),
        notes=tuple(groups[4]),
        passed=tuple(groups[5]),
        skipped=tuple(groups[6]),
        past=past,
    )


def _place(finding: Finding) -> int:
    place = _ORDER[finding.verdict]
    return _WAIVED if finding.waived is not None and place < _WAIVED else place


_COUNTED = (
    (Verdict.FAIL, "failed", "failed"),
    (Verdict.ERROR, "not judged", "not judged"),
    (Verdict.WARN, "warning", "warnings"),
    (Verdict.PASS, "passed", "passed"),
    (Verdict.INFO, "note", "notes"),
    (Verdict.NOT_APPLICABLE, "not applicable", "not applicable"),
)


def _counts(section: Section) -> tuple[Count, ...]:
    live = [f.verdict for f in section.findings if _place(f) != _WAIVED]
    counts = [
        Count(verdict, f"{live.count(verdict)} {one if live.count(verdict) == 1 else many}")
        for verdict, one, many in _COUNTED
        if verdict in live
    ]
    waived = len(section.findings) - len(live)
    return (*counts, *([Count(Verdict.INFO, f"{waived} waived")] if waived else []))


def _known(sections: tuple[SectionView, ...]) -> dict[str, FindingView]:
    """Return all findings of the page by their checks."""
    return {
        finding.check: finding
        for section in sections
        for group in (section.open, section.waived, section.notes, section.passed, section.skipped)
        for finding in group
    }


def _facts(record: AuditRecord) -> tuple[Row, ...]:
    checkpoint = record.subject.checkpoint
    rows: list[Row] = []
    if checkpoint:
        rows += [
            ("Checkpoint", clean_text(PurePath(checkpoint.path).name or checkpoint.path, 80)),
            ("SHA-256", f"{short_hash(record)}…"),
        ]
    rows += [
        ("Parameters", f"{record.subject.parameters:,}"),
        ("Data", data_line(record.subject)),
        ("Device", clean_text(record.subject.device, 60)),
        ("Audited", date(record.volatile.started)),
    ]
    return tuple(rows)


def short_hash(record: AuditRecord) -> str:
    """Return the first digits of the checkpoint's hash; empty without a checkpoint."""
    checkpoint = record.subject.checkpoint
    return clean_text(checkpoint.sha256[:12], 40) if checkpoint else ""


def _running(record: AuditRecord) -> str:
    name, digits = clean_text(record.subject.name, 60), short_hash(record)
    return f"{name} · {digits}" if digits else name
