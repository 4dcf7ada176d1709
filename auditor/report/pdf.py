"""The report as a PDF file, made by a process of its own."""

from auditor.core.record import AuditRecord
from auditor.report.pdf_process import BOUNDS, Bounds, PdfProcess


def render_pdf(record: AuditRecord, bounds: Bounds = BOUNDS) -> bytes:
    """Return the report as a PDF/A-3a file with the record inside, equal for equal records.

    Raises:
        PdfUnavailable: a library is missing, or the process failed or went beyond its bounds.
    """
    with PdfProcess(bounds) as process:
        process.begin(record)
        return process.finished()
