"""The short table that the command line prints when an audit is done."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.core.record import AuditRecord
from auditor.core.verdict import Verdict
from auditor.report.view import SectionView, view_page
from auditor.report.view_finding import FindingView
from auditor.report.wording import Span

MOST_FINDINGS = 12
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


def _plain(spans: tuple[Span, ...]) -> str:
    return "".join(span.text for span in spans)


def _cropped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
