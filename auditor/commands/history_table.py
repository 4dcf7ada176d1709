"""The history on a terminal: an audit a line, and what changed since the one before."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.core.fingerprint import Identity
from auditor.core.text import clean_text, counted
from auditor.history.history import Entry
from auditor.history.listing import Line
from auditor.report.terminal_marks import Hung, verdict_mark
from auditor.report.told import changes_told, counts_of
from auditor.report.wording import WORDS, cropped, short_date

_LONGEST_CHANGE = 200


def history_table(lines: Sequence[Line]) -> RenderableType:
    """Return the audits in 80 columns, those of one subject together, in the order of the lines.

    Those that later audits may be held against are marked.
    """
    parts: list[RenderableType] = []
    for subject in dict.fromkeys(line.entry.identity for line in lines):
        parts += [*([Text()] if parts else []), _heading(subject)]
        for line in lines:
            if line.entry.identity == subject:
                parts += [_line(line), *_told(line)]
    if any(line.entry.accepted for line in lines):
        parts += [Text(), Text("* accepted: nothing failed, or accepted by hand", style="dim")]
    return Group(*parts)


def _heading(subject: Identity) -> Hung:
    about = (clean_text(part, 60) for part in (subject.factory, subject.task.replace("_", " ")))
    text = Text(clean_text(subject.name, 120) or "unnamed", style="bold")
    if told := ", ".join(filter(None, about)):
        text.append(f"  {told}", style="not bold dim")
    return Hung(Text(), text, 0)


def _line(line: Line) -> Table:
    entry = line.entry
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False, expand=True)
    for width in (17, 1, 12):
        table.add_column(width=width, no_wrap=True)
    table.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    table.add_column(width=12, no_wrap=True)
    verdict = entry.glance.verdict
    table.add_row(
        Text(cropped(short_date(entry.glance.volatile.started), 17)),
        Text("*" if entry.accepted else ""),
        verdict_mark(verdict, WORDS[verdict]),
        Text(_counts(entry)),
        Text(clean_text(entry.id, 40), style="dim"),
    )
    return table


def _counts(entry: Entry) -> str:
    confined = "" if entry.only is None else f"({counted(len(entry.only), 'check')})"
    return f"{counts_of(entry.glance)} {confined}".strip()


def _told(line: Line) -> list[RenderableType]:
    if line.before is None:
        said = ["first audit" if line.first else "first audit of these checks"]
    else:
        said = [cropped(change, _LONGEST_CHANGE) for change in changes_told(line.changes)]
    return [Hung(Text("  "), Text(text, style="dim"), 2) for text in said]
