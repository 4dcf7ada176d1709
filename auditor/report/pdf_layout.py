"""The pages of a PDF, laid out by WeasyPrint. Runs in the process of the PDF alone."""

import ctypes.util
import hashlib
import logging
import sys
import warnings
from datetime import datetime
from types import ModuleType
from typing import Any

from auditor.report.pdf_svg import draw_lines_of_text

PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


def laid_out(weasyprint: ModuleType, page: str, record: bytes) -> bytes:
    """Return a page as a PDF/A-3a file that carries the record's JSON inside."""
    document = weasyprint.HTML(string=page, url_fetcher=no_fetching(weasyprint)).render()
    began = datetime.fromisoformat(document.metadata.created)
    attachment = weasyprint.Attachment(
        string=record,
        name="record.json",
        description="The record that this report is drawn from",
        created=began,
        modified=began,
        relationship="Source",
    )
    pdf: bytes = document.write_pdf(
        pdf_variant="pdf/a-3a",
        pdf_identifier=hashlib.sha256(record).digest()[:16],
        attachments=[attachment],
        finisher=_mend,
    )
    return pdf


def no_fetching(weasyprint: ModuleType) -> Any:
    """Return what has addresses that hold their data looked up, and refuses all others."""
    return weasyprint.urls.URLFetcher(allowed_protocols=("data",), allow_redirects=False)


def ready() -> ModuleType:
    """Return WeasyPrint, with what it is to do otherwise.

    Raises:
        ImportError: it is missing.
        OSError: a native library of it is missing.
    """
    try:
        _spare_the_search()
        import weasyprint
        import weasyprint.urls
    except ImportError as error:
        raise ImportError(f"WeasyPrint can't be imported ({error})") from error
    except OSError as error:
        raise OSError(
            "a native library of WeasyPrint is missing; on Debian or Ubuntu: "
            f"apt-get install {PACKAGES}"
        ) from error
    for name in ("weasyprint", "fontTools", "pydyf"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    draw_lines_of_text(weasyprint)
    module: ModuleType = weasyprint
    return module


def _spare_the_search() -> None:
    """Have native libraries opened by the names that the loader of Linux knows.

    WeasyPrint tries other systems' names first, for each of which ctypes asks gcc and ldconfig:
    0.3 s for nothing.
    """
    if sys.platform == "linux":
        ctypes.util.find_library = lambda name: None
    warnings.simplefilter("ignore")


def _mend(_: Any, pdf: Any) -> None:
    """Mend what PDF/A forbids, or what a reader aloud would stumble over."""
    for thing in pdf.objects:
        extra = getattr(thing, "extra", {})
        if extra.get("Subtype") == "/Image":
            extra["Interpolate"] = "false"
        if isinstance(thing, dict) and thing.get("S") == "/Figure" and "Alt" not in thing:
            thing |= {"S": "/NonStruct", "ActualText": "()"}  # decoration: it says nothing
    files = pdf.catalog["AF"]
    files[:] = dict.fromkeys(files)  # each is there twice
