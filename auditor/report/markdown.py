"""A summary in Markdown, short enough for a pull request."""

import re

from auditor.core.advice import fence
from auditor.core.record import AuditRecord
from auditor.core.verdict import Verdict
from auditor.report.view import PageView, SectionView, view_page
from auditor.report.view_cause import CauseView, RemedyView
from auditor.report.view_finding import FindingView, StepView
from auditor.report.wording import Span

MOST_BYTES = 60_000
_SIGNS = {
    Verdict.PASS: "✅",
    Verdict.WARN: "⚠️",
    Verdict.FAIL: "❌",
    Verdict.INFO: "ℹ️",
    Verdict.NOT_APPLICABLE: "➖",
    Verdict.ERROR: "❓",
    Verdict.INCOMPLETE: "❓",
}
_MARKS = re.compile(r"[\\`*_\[\]~$!]")
_ENTITIES = re.compile(r"[<>&{}|]|:(?=//)|(?<=www)\.")
_BLOCKS = re.compile(r"^\s*(#|[-+=](?=[\s=-]|$)|\d{1,9}(?=[.)](\s|$)))")
_MENTION = re.compile(r"[@#](?=\w)")
_MOST_PLACES = 5
_LONGEST = 400


def render_markdown(record: AuditRecord) -> str:
    """Return a summary of the record, of less than 64 kB."""
    page = view_page(record)
    blocks = [*_top(page), *_first(page), _sections(page)]
    for section in page.sections:
        blocks += [_finding(finding, section) for finding in (*section.open, *section.waived)]
    blocks += [_unjudged(page), _passed(page), _audit(page)]
    return _fitted([block for block in blocks if block])


def escaped(text: str, longest: int = _LONGEST) -> str:
    """Return text that Markdown and HTML show as it is, and that mentions nobody."""
    cut = text[:longest] + ("…" if len(text) > longest else "")
    plain = _MENTION.sub(lambda found: f"{found[0]}\u200b", cut)
    marked = _MARKS.sub(r"\\\g<0>", plain)
    safe = _ENTITIES.sub(lambda found: f"&#{ord(found[0])};", marked)
    return _BLOCKS.sub(lambda found: f"\u200b{found[0].lstrip()}", safe)


def _rich(spans: tuple[Span, ...]) -> str:
    """Return a whole paragraph: it was cut to what a page can hold where its spans were made."""
    shown = [(escaped(span.text, len(span.text)), span.code) for span in spans]
    return "".join(f"<code>{text}</code>" if code else text for text, code in shown)


def _top(page: PageView) -> list[str]:
    facts = " · ".join(f"{escaped(name)}: {escaped(value)}" for name, value in page.facts)
    blocks = [
        f"# {_SIGNS[page.verdict]} {escaped(page.name)}: {page.word.lower()}",
        escaped(page.headline),
        facts,
    ]
    if page.error:
        blocks.insert(2, f"**The audit did not run to its end.** {escaped(page.error)}")
    return blocks


def _first(page: PageView) -> list[str]:
    """Return what to fix first: causes, then findings of no known cause."""
    causes = (*page.causes, *page.more_causes)
    blocks = [_cause(place, cause) for place, cause in enumerate(causes, 1)]
    if page.first:
        lines = [
            f"{place}. {_SIGNS[one.verdict]} **{escaped(one.title)}** ({one.word.lower()}). "
            f"{_rich(one.summary)}"
            for place, one in enumerate(page.first, 1)
        ]
        if page.first_left:
            lines.append(f"\n{page.first_left} more below.")
        also = "### Also found\n\n" if blocks else ""
        blocks.append(also + "\n".join(lines))
    return ["## What to fix first", *blocks] if blocks else []


def _cause(place: int, cause: CauseView) -> str:
    lines = [f"### {place}. {_rich(cause.title)} ({escaped(cause.confidence)})", ""]
    if cause.finding:
        lines += [_rich(cause.seen), ""]
    if cause.explains:
        titles = "; ".join(escaped(title) for title, _ in cause.explains[:20])
        lines += [f"It may explain as well: {titles}.", ""]
    remedies = (*cause.remedies, *cause.more_remedies)
    return "\n".join([*lines, *(_remedy(remedy) for remedy in remedies[:10])])


def _remedy(remedy: RemedyView) -> str:
    told = f"- {_rich(remedy.text)}"
    if remedy.trial is not None:
        trial = remedy.trial
        told += (
            f" Tried on copies, {escaped(trial.outcome)}: {escaped(trial.measure)} "
            f"{escaped(trial.before)} → **{escaped(trial.after)}**."
        )
    elif remedy.note:
        told += f" ({escaped(remedy.note)})"
    return told


def _sections(page: PageView) -> str:
    lines = ["## Sections", "", "| Section | Verdict | Findings |", "|---|---|---|"]
    for section in page.sections:
        counts = ", ".join(count.text for count in section.counts)
        sign = _SIGNS[section.verdict]
        lines.append(f"| {escaped(section.title)} | {sign} {section.word} | {counts} |")
    return "\n".join(lines)


def _finding(finding: FindingView, section: SectionView) -> str:
    lines = [
        f"### {_SIGNS[finding.verdict]} {escaped(finding.title)} ({finding.word.lower()})",
        "",
        f"{_rich(finding.summary)} <sub>{escaped(section.title)}, {escaped(finding.check)}</sub>",
    ]
    if finding.waived is not None:
        lines += ["", f"**Waived:** {_rich(finding.waived)}"]
        return "\n".join(lines)
    if finding.metrics:
        lines += ["", "| Measure | Value | 95 % interval | Limits |", "|---|--:|--:|---|"]
        lines += [
            f"| {escaped(metric.name)} | {escaped(metric.value)} | "
            f"{escaped(metric.interval) or '–'} | {escaped(metric.limits) or '–'} |"
            for metric in finding.metrics[:10]
        ]
    if finding.places:
        left = len(finding.places) + len(finding.more_places) + finding.places_left - _MOST_PLACES
        names = [
            f"<code>{escaped(place.name)}</code>{' ' + escaped(place.note) if place.note else ''}"
            for place in finding.places[:_MOST_PLACES]
        ]
        more = f" and {left:,} more" if left > 0 else ""
        lines += ["", f"Where: {', '.join(names)}{more}."]
    lines += ["", *(_step(n, step) for n, step in enumerate(finding.advice[:8], 1))]
    return "\n".join(lines).rstrip()


def _step(place: int, step: StepView) -> str:
    """Return a numbered step; its code belongs to it, so it stands below the first word."""
    mark = f"{place}. "
    if not step.code:
        return mark + _rich(step.text)
    marks = fence(step.code)
    code = (marks + step.language, *step.code.split("\n"), marks)
    return "\n".join([mark + _rich(step.text), *(" " * len(mark) + line for line in code)])


def _unjudged(page: PageView) -> str:
    lines = [f"- {escaped(f.title)}: {_rich(f.summary)}" for f in page.unjudged]
    return "## What could not be judged, and why\n\n" + "\n".join(lines) if lines else ""


def _passed(page: PageView) -> str:
    lines = [
        f"- {_SIGNS[finding.verdict]} {escaped(finding.title)}: {_rich(finding.summary)}"
        for section in page.sections
        for finding in (*section.notes, *section.passed)
    ]
    if not lines:
        return ""
    body = "\n".join(lines)
    return f"<details><summary>Passed, and for information</summary>\n\n{body}\n\n</details>"


def _audit(page: PageView) -> str:
    rows = " · ".join(f"{escaped(name)}: {escaped(value)}" for name, value in page.audit.run)
    warnings = "".join(f"\n- {escaped(text)}" for text in page.audit.warnings[:10])
    return f"## The audit itself\n\n{rows}\n{warnings}".rstrip()


def _fitted(blocks: list[str]) -> str:
    kept: list[str] = []
    room = MOST_BYTES
    for block in blocks:
        room -= len(block.encode("utf-8")) + 2
        if room < 0:
            kept.append("This summary was cut here; the HTML report and the record have the rest.")
            break
        kept.append(block)
    return "\n\n".join(kept) + "\n"
