"""A comparison on a terminal, in 80 columns."""

from rich.console import Group, RenderableType
from rich.text import Text

from auditor.core.text import counted
from auditor.report.compare.view import CompareView, DifferenceTable, MetricRow, Side
from auditor.report.compared import Changed, ChangeGroup
from auditor.report.terminal_marks import Hung, paragraph, verdict_mark
from auditor.report.wording import WORDS, cropped

MOST_METRICS = 4
MOST_PLACES = 6
MOST_ROWS = 20
_INDENT = 2


def compare_table(view: CompareView) -> RenderableType:
    """Return the comparison, the most urgent first; all metrics are in the page and the JSON."""
    parts: list[RenderableType] = [paragraph(view.headline, "bold"), *map(_side, view.sides)]
    parts += [Hung(Text("!", style="yellow"), Text(said), _INDENT) for said in view.cautions]
    for group in view.groups:
        parts += _group(group, view)
    if view.fine:
        parts += [Text(), paragraph(view.fine)]
    for table in view.tables:
        parts += _table(table)
    return Group(*parts)


def _side(side: Side) -> Hung:
    text = verdict_mark(side.verdict, side.word)
    hashed = f", checkpoint {side.checkpoint}" if side.checkpoint else ""
    text.append(f"  {side.started}: {side.source}{hashed}", style="not bold default")
    return Hung(Text(side.label, style="dim"), text, 8)


def _group(group: ChangeGroup, view: CompareView) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(), Text(group.title, style="bold")]
    if group.reasons:
        return lines + [
            Hung(Text(), Text(reason.named(MOST_PLACES)), _INDENT) for reason in group.reasons
        ]
    for finding in group.findings:
        lines += _finding(finding, view)
    return lines


def _finding(finding: Changed, view: CompareView) -> list[RenderableType]:
    mark = verdict_mark(finding.verdict, WORDS[finding.verdict])
    indent = mark.cell_len + 2
    title = Text(f"{cropped(finding.title, 120)} ({finding.check})", style="bold")
    lines = [finding.told]
    named = [f"{place.name} ({place.note})" for place in finding.places[:MOST_PLACES]]
    left = len(finding.places) + finding.left - len(named)
    if named:
        lines.append(f"where: {', '.join(named)}{f' and {left:,} more' if left else ''}")
    moved = [row for row in view.of(finding.check) if row.apart]
    lines += map(_metric, moved[:MOST_METRICS])
    return [
        Hung(mark, title, indent),
        *(Hung(Text(), Text(line), indent) for line in lines),
    ]


def _metric(row: MetricRow) -> str:
    return f"{row.name}: {row.before} → {row.after}"


def _table(table: DifferenceTable) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(), Text(table.title, style="bold")]
    for row in table.rows[:MOST_ROWS]:
        told = f"{row.what}: {cropped(row.before, 80)} → {cropped(row.after, 80)}"
        lines.append(Hung(Text(), Text(told), _INDENT))
    left = len(table.rows) + table.left - MOST_ROWS
    if left > 0:
        lines.append(Text(f"{counted(left, 'more row')} in the page", style="dim"))
    return lines
