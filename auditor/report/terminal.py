"""A record on a terminal, in the order of the page: 80 columns wide, or as wide as there is."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.core.record import AuditRecord
from auditor.core.text import counted
from auditor.core.verdict import Verdict
from auditor.report.compared import ComparedView
from auditor.report.terminal_marks import STYLES, Either, Hung, paragraph, verdict_mark
from auditor.report.view import PageView, SectionView, view_page
from auditor.report.view_cause import CauseView, RemedyView
from auditor.report.view_finding import FindingView, MetricView
from auditor.report.wording import WORDS, cropped, plain

MOST_FINDINGS = 8
MOST_UNJUDGED = 8
MOST_CAUSES = 3
MOST_CHANGES = 6
MOST_REASONS = 4
MOST_NAMED = 3
MOST_WAIVERS = 8
_LONGEST = 220
_MOST_METRICS = 2
_MOST_PLACES = 3
_SHORT = {Verdict.ERROR: "Not judged", Verdict.NOT_APPLICABLE: "n/a"}
_COLUMNS = (
    (Verdict.FAIL, "fail"),
    (Verdict.ERROR, "error"),
    (Verdict.WARN, "warn"),
    (Verdict.PASS, "pass"),
    (Verdict.INFO, "info"),
    (Verdict.NOT_APPLICABLE, "n/a"),
)


def summary_table(record: AuditRecord, *, whole: bool = False) -> RenderableType:
    """Return what a record says; unless `whole`, no more than fits a few screens."""
    page = view_page(record)
    parts: tuple[list[RenderableType], ...] = (
        _opening(page),
        _first(page),
        [Either(_sections(page.sections), _narrow(page.sections))],
        _audited(page),
        _unjudged(page.unjudged, whole),
        _findings(page, whole),
        _waivers(page, whole),
    )
    shown: list[RenderableType] = []
    for part in filter(None, parts):
        shown += [Text(), *part] if shown else part
    return Group(*shown)


def _opening(page: PageView) -> list[RenderableType]:
    name = Text(f"{cropped(page.name, 60)}: ", style="bold")
    lines: list[RenderableType] = [
        Hung(Text(), name + verdict_mark(page.verdict, page.word), 0),
        paragraph(f"May it ship? {page.answer}", "bold"),
        paragraph(f"{page.headline} {page.sureness}"),
    ]
    lines[1:1] = [paragraph(alarm, "bold red") for alarm in page.alarms]
    if page.error:
        lines.append(paragraph(f"Stopped early: {cropped(page.error, 300)}", "magenta"))
    if page.compared:
        lines += _compared(page.compared)
    return lines


def _compared(compared: ComparedView) -> list[RenderableType]:
    """Return how the audit compares with an earlier one: the worst that changed by name."""
    changed = [
        (group, one) for group in compared.groups if not group.reasons for one in group.findings
    ]
    reasons = [(group, one) for group in compared.groups for one in group.reasons]
    lines: list[RenderableType] = [paragraph(cropped(compared.line, 400))]
    lines += [Hung(Text(), Text(said, style="yellow"), 2) for said in compared.cautions]
    for group, finding in changed[:MOST_CHANGES]:
        told = f"{group.title}: {cropped(finding.title, 120)} ({finding.check}), {finding.told}"
        lines.append(Hung(Text(), Text(told), 2))
    lines += _more(len(changed) - MOST_CHANGES, "change")
    for group, reason in reasons[:MOST_REASONS]:
        lines.append(Hung(Text(), Text(f"{group.title}: {reason.named(MOST_NAMED)}"), 2))
    return [*lines, *_more(len(reasons) - MOST_REASONS, "reason")]


def _first(page: PageView) -> list[RenderableType]:
    """Return what to fix first: causes with their trials, then findings of no known cause."""
    causes = (*page.causes, *page.more_causes)
    lines: list[RenderableType] = []
    for place, cause in enumerate(causes[:MOST_CAUSES], 1):
        lines += _cause(place, cause)
    lines += _more(len(causes) - MOST_CAUSES, "likely cause")
    if page.first:
        if causes:
            lines.append(Text("Also found", style="bold"))
        lines += _hung((finding, finding.title) for finding in page.first)
        lines += _more(page.first_left, "finding")
    if not lines:
        title, said = page.unflawed
        return [paragraph(f"{title}: {said[0].lower()}{said[1:]}")]
    return [Text("What to fix first", style="bold"), *lines]


def _cause(place: int, cause: CauseView) -> list[RenderableType]:
    """Return a cause on a few lines: how sure it is, what it explains, and the first remedy."""
    told = cropped(cause.confidence, 120)
    if cause.explains:
        told += f"; may explain {counted(len(cause.explains), 'other finding')}"
    title = Text(cropped(plain(cause.title), 160), style="bold")
    lines: list[RenderableType] = [
        Hung(Text(f"{place}."), title, 3),
        Hung(Text(), Text(told, style="green" if cause.proven else "dim"), 3),
    ]
    for remedy in cause.remedies[:1]:
        lines += [Hung(Text(), text, 5) for text in _remedy(remedy)]
    return lines


def _remedy(remedy: RemedyView) -> list[Text]:
    lines = [Text(cropped(plain(remedy.text), _LONGEST))]
    if (trial := remedy.trial) is not None:
        measure = cropped(trial.measure, 90)
        lines.append(Text(f"tried: {measure} {trial.before} → {trial.after}, {trial.outcome}"))
    elif remedy.note:
        lines.append(Text(cropped(remedy.note, 160), style="dim"))
    return lines


def _sections(sections: Sequence[SectionView]) -> Table:
    """Return a line a section; of the verdicts, those that any section has are counted."""
    counts = [_counts(section) for section in sections]
    columns = [(key, name) for key, name in _COLUMNS if any(key in count for count in counts)]
    waived = any(section.waived for section in sections)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("section", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name in (*(name for _, name in columns), *(["waived"] if waived else [])):
        table.add_column(name, justify="right", no_wrap=True, min_width=4)
    for section, count in zip(sections, counts, strict=True):
        cells = [
            Text(str(count[key]), style=STYLES[key]) if key in count else Text(".", style="dim")
            for key, _ in columns
        ]
        if waived:
            cells.append(Text(str(len(section.waived) or "."), style="dim"))
        title = Text(cropped(section.title, 72))
        table.add_row(title, verdict_mark(section.verdict, section.word), *cells)
    return table


def _narrow(sections: Sequence[SectionView]) -> Group:
    marks = [verdict_mark(section.verdict, section.word) for section in sections]
    indent = max((mark.cell_len for mark in marks), default=0) + 2
    told = (
        f"{cropped(section.title, 72)}: {', '.join(count.text for count in section.counts)}"
        for section in sections
    )
    return Group(*(Hung(mark, Text(text), indent) for mark, text in zip(marks, told, strict=True)))


def _counts(section: SectionView) -> dict[Verdict, int]:
    live = [
        Verdict.ERROR if finding.verdict is Verdict.INCOMPLETE else finding.verdict
        for group in (section.open, section.notes, section.passed, section.skipped)
        for finding in group
    ]
    return {verdict: live.count(verdict) for verdict in live}


def _audited(page: PageView) -> list[RenderableType]:
    return [Hung(Text(name, style="dim"), Text(value), 12) for name, value in page.facts]


def _unjudged(unjudged: Sequence[tuple[FindingView, ...]], whole: bool) -> list[RenderableType]:
    if not unjudged:
        return []
    shown = unjudged if whole else unjudged[:MOST_UNJUDGED]
    longest = 600 if whole else 110
    lines = _hung((group[0], _reason(group, longest)) for group in shown)
    head = Text("What could not be judged, and why", style="bold")
    return [head, *lines, *_more(sum(map(len, unjudged[len(shown) :])), "check")]


def _reason(group: tuple[FindingView, ...], longest: int) -> str:
    titles = "; ".join(finding.title for finding in group)
    return f"{titles}: {cropped(plain(group[0].summary), longest)}"


def _findings(page: PageView, whole: bool) -> list[RenderableType]:
    shown = page.found if whole else page.found[:MOST_FINDINGS]
    waived = [finding for section in page.sections for finding in section.waived]
    lines: list[RenderableType] = [*_hung((one, _finding(one, whole)) for one in shown)]
    lines += _more(len(page.found) - len(shown), "finding")
    lines += _hung((one, f"{one.title}. Waived: {plain(one.waived or ())}") for one in waived)
    if passed := sum(len(section.passed) for section in page.sections):
        lines.append(verdict_mark(Verdict.PASS, f"Passed: {counted(passed, 'check')}"))
    return [Text("Findings", style="bold"), *lines] if lines else []


def _waivers(page: PageView, whole: bool) -> list[RenderableType]:
    """Return a line a waiver, first those about which somebody has to do something."""
    waivers = sorted(page.audit.waivers, key=lambda one: not one.urgent)
    shown = waivers if whole else waivers[:MOST_WAIVERS]
    told = (
        f"{one.check} at {cropped(one.where, 60)} ({cropped(one.reason, 90)}; {one.until})"
        f": {one.said}"
        for one in shown
    )
    marks = (verdict_mark(Verdict.WARN if one.urgent else Verdict.INFO, "") for one in shown)
    lines = [Hung(mark, Text(text), 2) for mark, text in zip(marks, told, strict=True)]
    head = Text("Waivers", style="bold")
    return [head, *lines, *_more(len(waivers) - len(shown), "waiver")] if lines else []


def _finding(finding: FindingView, whole: bool) -> Text:
    """Return a finding: what is wrong, the values beyond their limits, and where."""
    text = Text(f"{cropped(finding.title, 120)} ({finding.check})", style="bold")
    beyond = [metric for metric in finding.metrics if metric.beyond]
    lines = [plain(finding.summary)] if whole or not beyond else []
    lines += [plain(finding.waiver_note)] if finding.waiver_note else []
    lines += [_metric(metric) for metric in (beyond if beyond else finding.metrics)[:_MOST_METRICS]]
    if finding.places:
        names = ", ".join(cropped(place.name, 60) for place in finding.places[:_MOST_PLACES])
        left = finding.all_places - _MOST_PLACES
        lines.append(f"where: {names}{f' and {left:,} more' if left > 0 else ''}")
    for line in lines:
        text.append(f"\n{line if whole else cropped(line, _LONGEST)}", style="not bold")
    return text


def _metric(metric: MetricView) -> str:
    told = f"{cropped(metric.name, 80)}: {metric.value}"
    if metric.interval:
        told += f" (95 % interval {metric.interval})"
    return f"{told}, {metric.limits}" if metric.limits else told


def _hung(lines: Iterable[tuple[FindingView, Text | str]]) -> list[RenderableType]:
    """Return paragraphs beside the verdicts of their findings, all at one indent."""
    pairs = [(_mark(finding), text) for finding, text in lines]
    indent = max((mark.cell_len for mark, _ in pairs), default=0) + 2
    return [
        Hung(mark, Text(text) if isinstance(text, str) else text, indent) for mark, text in pairs
    ]


def _mark(finding: FindingView) -> Text:
    return verdict_mark(finding.verdict, _SHORT.get(finding.verdict, WORDS[finding.verdict]))


def _more(left: int, noun: str) -> list[RenderableType]:
    text = f"{counted(left, f'more {noun}')} in the report"
    return [Text(text, style="dim")] if left > 0 else []
