"""The report as one HTML file that asks nothing of any server and runs its own script alone."""

from auditor.core.record import AuditRecord
from auditor.report.page import Medium, Sketches, render_page
from auditor.report.theme import SCREEN, screen_colours

_MEDIUM = Medium(SCREEN, screen_colours(), ("tokens.css", "screen.css", "map.css"), folds=True)


def render_html(record: AuditRecord, sketches: Sketches | None = None) -> str:
    """Return the report as a self-contained page, equal for equal records.

    `sketches` are those of an earlier rendering of the same record, which need no second drawing.
    """
    return render_page(record, _MEDIUM, {} if sketches is None else sketches)
