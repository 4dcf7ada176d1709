"""A fleet on a terminal: a line for each model, and what changed below it."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from auditor.report.fleet.view import FleetView, Mark, ModelView
from auditor.report.terminal_marks import SIGNS, STYLES, Hung, verdict_mark
from auditor.report.wording import cropped

MOST_MARKS = 12
"""Audits of the strip that a line has room for."""
_LONGEST_CHANGE = 200


def fleet_table(view: FleetView) -> RenderableType:
    """Return the models, the newest changes first, in 80 columns."""
    tally = Text("  ").join(verdict_mark(one.verdict, one.text) for one in view.tally)
    parts: list[RenderableType] = [Text(view.headline, style="bold"), tally, Text()]
    for model in view.models:
        parts += [_line(model), *_told(model)]
    parts += [Text(), Text(_LEGEND, style="dim")]
    return Group(*parts)


_LEGEND = "✓ passed  ! warning  ✗ failed  ? incomplete; the newest audit stands last"


def _line(model: ModelView) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False, expand=True)
    table.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    for width in (12, 5, MOST_MARKS, 16):
        table.add_column(width=width, no_wrap=True)
    for column in table.columns[-2:]:
        column.justify = "right"
    table.add_row(
        Text(model.name, style="bold"),
        verdict_mark(model.verdict, model.word),
        _signs(model.sections[:5]),
        _signs(model.history[-MOST_MARKS:]),
        Text(cropped(model.day, 16)),
    )
    return table


def _told(model: ModelView) -> list[RenderableType]:
    mark = Text("  ")
    lines = [model.news] if model.news else []
    lines += [cropped(change, _LONGEST_CHANGE) for change in model.changes]
    if model.folder:
        lines.append(f"in {model.folder}")
    return [Hung(mark, Text(line, style="dim"), 2) for line in lines]


def _signs(marks: tuple[Mark, ...]) -> Text:
    return Text.assemble(*((SIGNS[one.verdict], STYLES[one.verdict]) for one in marks))
