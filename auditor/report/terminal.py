"""The short table that the command line prints when an audit is done."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.core.record import AuditRecord
from auditor.core.text import counted
from auditor.core.verdict import Verdict
from auditor.report.view import SectionView, view_page
from auditor.report.view_cause import CauseView
from auditor.report.view_finding import FindingView
from auditor.report.wording import Span

MOST_FINDINGS = 12
MOST_CAUSES = 3
LONGEST_SUMMARY = 220
_STYLES = {
    Verdict.PASS: "green",
    Verdict.WARN: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.INFO: "blue",
    Verdict.NOT_APPLICABLE: "dim",
    Verdict.ERROR: "magenta",
    Verdict.INCOMPLETE: "magenta",
}


def summary_table(record: AuditRecord) -> RenderableType:
    """Return a table that fits 80 columns: sections first, then what is wrong."""
    page = view_page(record)
    parts: list[RenderableType] = [
        Text.assemble((_cropped(page.name, 50), "bold"), "  ", (page.word, _STYLES[page.verdict])),
        Text(page.headline),
    ]
    if page.error:
        parts.append(Text(f"Stopped early: {_cropped(page.error, 300)}", style="magenta"))
    parts += [Text(""), _sections(page.sections)]
    found = [finding for section in page.sections for finding in section.open]
    found.sort(key=lambda finding: _URGENCY[finding.verdict])
    causes = (*page.causes, *page.more_causes)
    if causes:
        parts += [Text(""), Text("What to fix first", style="bold")]
        parts += [_cause(place, cause) for place, cause in enumerate(causes[:MOST_CAUSES], 1)]
    if len(causes) > MOST_CAUSES:
        parts.append(Text(f"{len(causes) - MOST_CAUSES} more in the report", style="dim"))
    if found:
        parts += [Text(""), _findings(found[:MOST_FINDINGS])]
    if len(found) > MOST_FINDINGS:
        parts.append(Text(f"{len(found) - MOST_FINDINGS} more in the report", style="dim"))
    return Group(*parts)


_URGENCY = {
    verdict: place
    for place, verdict in enumerate((Verdict.FAIL, Verdict.ERROR, Verdict.INCOMPLETE, Verdict.WARN))
}


def _sections(sections: tuple[SectionView, ...]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(max_width=36, overflow="ellipsis", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for section in sections:
        counts = ", ".join(count.text for count in section.counts) or "no checks"
        table.add_row(
            Text(_cropped(section.title, 36)),
            Text(section.word, style=_STYLES[section.verdict]),
            Text(counts, style="dim"),
        )
    return table


def _findings(findings: list[FindingView]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        word = "Not judged" if finding.verdict is Verdict.ERROR else finding.word
        text = Text.assemble(
            (_cropped(finding.title, 120), "bold"),
            "\n",
            _cropped(_plain(finding.summary), LONGEST_SUMMARY),
        )
        table.add_row(Text(word, style=_STYLES[finding.verdict]), text)
    return table


def _cause(place: int, cause: CauseView) -> Text:
    """Return a cause on a few lines: how sure it is, what it explains, and the first remedy."""
    text = Text.assemble(
        f"{place}. ",
        (_cropped(_plain(cause.title), 120), "bold"),
        (f"  {_cropped(cause.confidence, 60)}", "green" if cause.proven else "dim"),
    )
    if cause.explains:
        text.append(f"\n   may explain {counted(len(cause.explains), 'other finding')}", "dim")
    for remedy in cause.remedies[:1]:
        text.append(f"\n   {_cropped(_plain(remedy.text), LONGEST_SUMMARY)}")
        if remedy.trial is not None:
            trial = remedy.trial
            text.append(f"\n   tried: {trial.before} → {trial.after} ", "")
            text.append(f"({trial.outcome}; {_cropped(trial.measure, 80)})", "dim")
    return text


def _plain(spans: tuple[Span, ...]) -> str:
    return "".join(span.text for span in spans)


def _cropped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
