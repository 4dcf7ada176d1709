"""The report as one HTML file that asks nothing of any server and runs no script."""

from auditor.core.record import AuditRecord
from auditor.report.page import Medium, render_page
from auditor.report.theme import SCREEN

_MEDIUM = Medium(SCREEN, ("tokens.css", "screen.css"), folds=True)


def render_html(record: AuditRecord) -> str:
    """Return the report as a self-contained page, equal for equal records."""
    return render_page(record, _MEDIUM)
