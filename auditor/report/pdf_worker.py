"""The process that makes a PDF: lays a page out, attaches the record, and keeps within its bounds.

`python -m auditor.report.pdf_worker ROOM MEMORY SECONDS` gets ready; once its standard input is
closed, it finds page and record in the folder ROOM and leaves the PDF there. Where there is none,
the last line on standard error says why.
"""

import contextlib
import gc
import os
import sys
from pathlib import Path

from auditor.core.text import clean_text

PAGE = "page.html"
RECORD = "record.json"
PDF = "report.pdf"
FONTS = "fonts.conf"
GAVE_UP = 3
"""The exit code that says: the last line is for the user."""


def main(room: Path, memory: int, seconds: int) -> None:
    """Make the PDF, and end the process; none of its memory is worth tidying up."""
    _hold_to(memory, seconds)
    gc.disable()  # it takes a third of the time of a layout, and the bounds stand all the same
    try:
        from auditor.report.pdf_layout import laid_out, ready

        weasyprint = ready()
        sys.stdin.read()
        page = (room / PAGE).read_text(encoding="utf-8")
        (room / PDF).write_bytes(laid_out(weasyprint, page, (room / RECORD).read_bytes()))
        code = 0
    except Exception as error:  # noqa: BLE001 - the process is over, and says why
        sys.stderr.write(f"\n{_reason(error, memory)}\n")
        code = GAVE_UP
    sys.stderr.flush()
    os._exit(code)


def _reason(error: Exception, memory: int) -> str:
    if isinstance(error, MemoryError):
        return f"laying it out takes more than {memory >> 20:,} MB of memory"
    if isinstance(error, ImportError | OSError):
        return clean_text(error)
    return f"laying it out failed: {type(error).__name__}: {clean_text(error)}"


def _hold_to(memory: int, seconds: int) -> None:
    """Bound memory and time where the system can, and leave no core dump behind."""
    try:
        import resource
    except ImportError:  # not on Windows: there is the parent's clock alone
        return
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds + 1),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
