"""The report as a PDF file, laid out by WeasyPrint from the same page."""

import contextlib
import gc
import logging
from collections.abc import Iterator
from types import ModuleType

from auditor.core.record import AuditRecord
from auditor.report.page import Medium, render_page
from auditor.report.theme import PRINT, paper_colours

PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
_MEDIUM = Medium(PRINT, paper_colours(), ("tokens.css", "paper.css", "map.css"), folds=False)


class PdfUnavailable(Exception):  # noqa: N818 - it names a state, not a mistake
    """A library that lays out the PDF is missing; the message says what to install."""


def render_pdf(record: AuditRecord) -> bytes:
    """Return the report as a PDF file, equal for equal records.

    Raises:
        PdfUnavailable: WeasyPrint or one of its native libraries is missing.
    """
    weasyprint = _weasyprint()
    page = render_page(record, _MEDIUM)
    fetcher = weasyprint.urls.URLFetcher(allowed_protocols=("data",), allow_redirects=False)
    with _quiet(), _without_collecting():
        document = weasyprint.HTML(string=page, url_fetcher=fetcher)
        pdf: bytes = document.write_pdf(pdf_identifier=b"auditor")
    return pdf


def _weasyprint() -> ModuleType:
    try:
        import weasyprint
        import weasyprint.urls
    except ImportError as error:
        raise PdfUnavailable(f"no PDF: WeasyPrint can't be imported ({error})") from error
    except OSError as error:
        raise PdfUnavailable(
            "no PDF: a native library of WeasyPrint is missing; on Debian or Ubuntu: "
            f"apt-get install {PACKAGES}"
        ) from error
    module: ModuleType = weasyprint
    return module


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("weasyprint", "fontTools", "pydyf")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """Hold back the garbage collector, which takes a third of the time of a layout."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
