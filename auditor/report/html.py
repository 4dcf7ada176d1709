"""The report as one HTML file that asks nothing of any server and runs its own script alone."""

from auditor.core.record import AuditRecord
from auditor.report.page import Medium, render_page
from auditor.report.theme import SCREEN, screen_colours

_MEDIUM = Medium(SCREEN, screen_colours(), ("tokens.css", "screen.css", "map.css"), folds=True)


def render_html(record: AuditRecord) -> str:
    """Return the report as a self-contained page, equal for equal records."""
    return render_page(record, _MEDIUM)
