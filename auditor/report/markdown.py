"""A summary in Markdown, short enough for a comment on a pull request: what is long is folded."""

import re
from collections.abc import Sequence

from auditor.core.advice import fence
from auditor.core.record import AuditRecord
from auditor.core.text import counted
from auditor.core.verdict import Verdict
from auditor.report.compared import ComparedView
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
_SPECIAL = re.compile(r"[\\`*_\[\]~$!<>&{}|]|:(?=//)|(?<=www)\.")
_BLOCKS = re.compile(r"^\s*(#|[-+=](?=[\s=-]|$)|\d{1,9}(?=[.)](\s|$)))")
_MENTION = re.compile(r"[@#](?=\w)")
MOST_CHANGES = 40
_MOST_PLACES = 5
_MOST_WAIVERS = 20
_MOST_SECTIONS = 12
_LONGEST = 400


def render_markdown(record: AuditRecord) -> str:
    """Return a summary of the record in the order of the page, of less than 64 kB."""
    page = view_page(record)
    found = [
        _finding(finding, section)
        for section in page.sections
        for finding in section.open
        if finding.verdict in {Verdict.FAIL, Verdict.WARN}
    ]
    waived = [_finding(one, section) for section in page.sections for one in section.waived]
    kept = (*_top(page), _sections(page), _audited(page), _waivers(page))
    blocks = [
        *_top(page),
        *_first(page),
        _sections(page),
        _audited(page),
        _waivers(page),
        _unjudged(page),
        *(["## Findings", *found, *waived] if found or waived else []),
        _passed(page),
        _audit(page),
    ]
    return _fitted([block for block in blocks if block], kept)


def escaped(text: str, longest: int = _LONGEST) -> str:
    """Return text that Markdown and HTML show as it is, and that mentions nobody."""
    cut = text[:longest] + ("…" if len(text) > longest else "")
    plain = _MENTION.sub(lambda found: f"{found[0]}\u200b", cut)
    marked = _MARKS.sub(r"\\\g<0>", plain)
    safe = _ENTITIES.sub(lambda found: f"&#{ord(found[0])};", marked)
    return _BLOCKS.sub(lambda found: f"\u200b{found[0].lstrip()}", safe)


def _in_html(text: str) -> str:
    """Return text for between tags, where what Markdown makes of it depends on who reads it."""
    plain = _MENTION.sub(lambda found: f"{found[0]}\u200b", text)
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", plain)


def _rich(spans: tuple[Span, ...]) -> str:
    """Return a whole paragraph: it was cut to what a page can hold where its spans were made."""
    shown = [(escaped(span.text, len(span.text)), span.code) for span in spans]
    return "".join(f"<code>{text}</code>" if code else text for text, code in shown)


def _folded(title: str, body: str) -> str:
    """Return a block that opens at its title."""
    return f"<details><summary>{_in_html(title)}</summary>\n\n{body}\n\n</details>"


def _top(page: PageView) -> list[str]:
    blocks = [
        f"# {_SIGNS[page.verdict]} {escaped(page.name)}: {page.word.lower()}",
        f"**May it ship?** {escaped(page.answer)} {escaped(page.headline)}",
        f"**How sure?** {escaped(page.sureness)}",
    ]
    blocks[1:1] = [f"> {_SIGNS[Verdict.FAIL]} **{escaped(alarm, 600)}**" for alarm in page.alarms]
    if page.error:
        blocks.append(f"**The audit did not run to its end.** {escaped(page.error)}")
    if page.compared:
        blocks.append(_compared(page.compared))
    return blocks


def _compared(compared: ComparedView) -> str:
    """Return how the audit compares with an earlier one, what changed folded."""
    cautions = [f"- {_SIGNS[Verdict.WARN]} {escaped(said)}" for said in compared.cautions]
    changed = [
        f"- {_SIGNS[finding.verdict]} **{group.title}:** {escaped(finding.title)} "
        f"({escaped(finding.check)}, {escaped(finding.told)})"
        for group in compared.groups
        if not group.reasons
        for finding in group.findings
    ]
    reasons = [
        f"- {_SIGNS[reason.verdict]} **{group.title}:** {escaped(reason.named(MOST_CHANGES))}"
        for group in compared.groups
        for reason in group.reasons
    ]
    lines = "\n".join((*cautions, *changed[:MOST_CHANGES], *reasons[:MOST_CHANGES]))
    return _folded(compared.line, lines) if lines else escaped(compared.line)


def _first(page: PageView) -> list[str]:
    """Return what to fix first: causes, then findings of no known cause."""
    causes = (*page.causes, *page.more_causes)
    blocks = [block for place, cause in enumerate(causes, 1) for block in _cause(place, cause)]
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
    if not blocks:
        title, said = page.unflawed
        return [f"## {title}", said]
    return ["## What to fix first", *blocks]


def _cause(place: int, cause: CauseView) -> list[str]:
    sure = f"{cause.confidence[:1].upper()}{cause.confidence[1:]}."
    seen = f" {_rich(cause.seen)}" if cause.finding else ""
    blocks = [f"### {place}. {_rich(cause.title)}\n\n{escaped(sure)}{seen}"]
    if cause.remedies:
        blocks.append("\n".join(map(_remedy, cause.remedies)))
    if cause.more_remedies:
        title = counted(len(cause.more_remedies), "more remedy", "more remedies")
        blocks.append(_folded(title, "\n".join(map(_remedy, cause.more_remedies[:10]))))
    if cause.explains:
        names = "\n".join(f"- {escaped(title)}" for title, _ in cause.explains[:20])
        title = f"It may explain {counted(len(cause.explains), 'other finding')}"
        blocks.append(_folded(title, names))
    return blocks


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
    return "\n".join([told, *_code(remedy.code, remedy.language, 2)])


def _sections(page: PageView) -> str:
    lines = ["## Sections", "", "| Section | Verdict | Findings |", "|---|---|---|"]
    for section in page.sections[:_MOST_SECTIONS]:
        counts = ", ".join(count.text for count in section.counts)
        sign = _SIGNS[section.verdict]
        lines.append(f"| {escaped(section.title)} | {sign} {section.word} | {counts} |")
    return "\n".join(lines)


def _audited(page: PageView) -> str:
    facts = " · ".join(f"{escaped(name)}: {escaped(value)}" for name, value in page.facts)
    return f"## What was audited\n\n{facts}"


def _finding(finding: FindingView, section: SectionView) -> str:
    title = f"{_SIGNS[finding.verdict]} {finding.title} ({finding.word.lower()})"
    lines = [
        f"{_rich(finding.summary)} <sub>{escaped(section.title)}, {escaped(finding.check)}</sub>",
    ]
    if finding.waived is not None:
        lines += ["", f"**Waived:** {_rich(finding.waived)}"]
        return _folded(title, "\n".join(lines))
    if finding.waiver_note:
        lines += ["", f"**Counts all the same:** {_rich(finding.waiver_note)}"]
    if finding.metrics:
        lines += ["", "| Measure | Value | 95 % interval | Limits |", "|---|--:|--:|---|"]
        lines += [
            f"| {escaped(metric.name)} | {escaped(metric.value)} | "
            f"{escaped(metric.interval) or '–'} | {escaped(metric.limits) or '–'} |"
            for metric in finding.metrics[:10]
        ]
    if finding.places:
        left = finding.all_places - _MOST_PLACES
        names = [
            f"<code>{escaped(place.name)}</code>{' ' + escaped(place.note) if place.note else ''}"
            for place in finding.places[:_MOST_PLACES]
        ]
        more = f" and {left:,} more" if left > 0 else ""
        lines += ["", f"Where: {', '.join(names)}{more}."]
    lines += ["", numbered(finding.advice[:8])]
    return _folded(title, "\n".join(lines).rstrip())


def numbered(steps: Sequence[StepView]) -> str:
    """Return steps of advice as a numbered list."""
    return "\n".join(_step(place, step) for place, step in enumerate(steps, 1))


def _step(place: int, step: StepView) -> str:
    mark = f"{place}. "
    return "\n".join([mark + _rich(step.text), *_code(step.code, step.language, len(mark))])


def _code(code: str, language: str, indent: int) -> list[str]:
    """Return the lines of code that belong to an item: they stand below its first word."""
    if not code:
        return []
    marks = fence(code)
    return [" " * indent + line for line in (marks + language, *code.split("\n"), marks)]


def _unjudged(page: PageView) -> str:
    lines = [
        f"- {'; '.join(escaped(one.title) for one in group)}: {_rich(group[0].summary)}"
        for group in page.unjudged
    ]
    title = f"What could not be judged, and why ({sum(map(len, page.unjudged))})"
    return _folded(title, "\n".join(lines)) if lines else ""


def _waivers(page: PageView) -> str:
    """Return the waivers, in sight where somebody has to do something about one."""
    waivers = sorted(page.audit.waivers, key=lambda one: not one.urgent)
    lines = [
        f"- {'⚠️ ' if one.urgent else ''}{escaped(one.check)} at <code>{escaped(one.where)}</code> "
        f"({escaped(one.reason, 200)}; {escaped(one.until)}): {escaped(one.said)}"
        for one in waivers[:_MOST_WAIVERS]
    ]
    if len(waivers) > _MOST_WAIVERS:
        lines.append(f"- {len(waivers) - _MOST_WAIVERS} more stand in the report")
    if any(one.urgent for one in waivers):
        return "\n".join(["## Waivers", "", *lines])
    return _folded(f"Waivers ({len(waivers)})", "\n".join(lines)) if lines else ""


def _passed(page: PageView) -> str:
    lines = [
        f"- {_SIGNS[finding.verdict]} {escaped(finding.title)}: {_rich(finding.summary)}"
        for section in page.sections
        for finding in (*section.notes, *section.passed)
    ]
    title = f"Passed, and for information ({len(lines)})"
    return _folded(title, "\n".join(lines)) if lines else ""


def _audit(page: PageView) -> str:
    rows = " · ".join(f"{escaped(name)}: {escaped(value)}" for name, value in page.audit.run)
    warnings = "".join(f"\n- {escaped(text)}" for text in page.audit.warnings[:10])
    return f"## The audit itself\n\n{rows}\n{warnings}".rstrip()


def _fitted(blocks: list[str], first: tuple[str, ...]) -> str:
    """Return the blocks that there is room for: those of `first` whatever stands before them."""
    room, kept = MOST_BYTES, set[int]()
    for place in sorted(range(len(blocks)), key=lambda place: blocks[place] not in first):
        room -= len(blocks[place].encode("utf-8")) + 2
        if room < 0:
            break
        kept.add(place)
    shown = [blocks[place] for place in sorted(kept)]
    if len(kept) < len(blocks):
        shown.append("This summary was cut; the HTML report and the record have the rest.")
    return "\n\n".join(shown) + "\n"
