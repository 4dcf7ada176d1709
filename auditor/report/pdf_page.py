"""The page that becomes a PDF: the report for paper, in letters that its fonts have."""

from auditor.core.moments import began_at
from auditor.core.record import record_from_json
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
