"""The page that becomes a PDF: the report for paper, in letters that its fonts have."""

from datetime import UTC, datetime

from auditor.core.moments import moment_of
from auditor.core.record import AuditRecord, record_from_json
from auditor.report.page import Medium, render_page
from auditor.report.pdf_fonts import drawable
from auditor.report.theme import PRINT, paper_colours

_MEDIUM = Medium(PRINT, paper_colours(), ("paper.css", "map.css"), folds=False)
_ABOUT = """<meta name="generator" content="auditor">
<meta name="dcterms.created" content="{began}">
<meta name="dcterms.modified" content="{began}">
</head>"""


def paper_page(text: str) -> str:
    """Return the page of a record, given as JSON, with the metadata that a PDF wants."""
    record = record_from_json(drawable(text).encode())
    began = began_at(record).strftime("%Y-%m-%dT%H:%M:%SZ")
    return render_page(record, _MEDIUM).replace("</head>", _ABOUT.format(began=began), 1)


def began_at(record: AuditRecord) -> datetime:
    """Return when the audit began, in universal time; a date of no meaning where it is unknown."""
    unknown = datetime(1970, 1, 1, tzinfo=UTC)
    try:
        return moment_of(record.volatile.started, unknown).astimezone(UTC)
    except OverflowError:  # at the very ends of the calendar
        return unknown
