"""The process that makes a PDF, as its parent sees it: held to limits, and never outlived.

It takes half a second to get ready, which a parent may spend on reading the record and drawing
the page. Nothing that this needs is imported here, so that the process can start first.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from auditor.core.text import clean_text
from auditor.report.pdf_fonts import font_settings
from auditor.report.pdf_worker import FONTS, GAVE_UP, PAGE, PDF, RECORD

if TYPE_CHECKING:
    from auditor.core.record import AuditRecord

KEPT = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONPYCACHEPREFIX",
    "PYTHONDONTWRITEBYTECODE",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "SYSTEMROOT",
    "WEASYPRINT_DLL_DIRECTORIES",
)
"""Variables of the environment that the process inherits: those by which programs are found."""


class PdfUnavailable(Exception):  # noqa: N818 - it names a state, not a mistake
    """There is no PDF; the message says why, in one line."""


@dataclass(frozen=True)
class Bounds:
    """What a process may take to make a PDF: seconds, and bytes of address space."""

    seconds: float = 120.0
    memory: int = 4 << 30


BOUNDS = Bounds()


class PdfProcess:
    """A process that makes one PDF. It is a context, and ends with it at the latest.

    Whatever goes wrong, from the start on, comes out of `finished` as `PdfUnavailable`.
    """

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self._bounds = bounds
        self._deadline = time.monotonic() + bounds.seconds
        self._open = contextlib.ExitStack()
        self._problem = ""
        try:
            self._start()
        except OSError as error:
            self._problem = f"its process could not be started: {clean_text(error)}"

    def __enter__(self) -> Self:
        """Return the process itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process and whatever it started, and leave no file behind."""
        self._open.close()

    def begin(self, record: "AuditRecord") -> None:
        """Have the PDF of a record made; the time that it may take runs from now on."""
        from auditor.core.record import record_to_json
        from auditor.report.pdf_page import paper_page

        self._deadline = time.monotonic() + self._bounds.seconds
        if self._problem:
            return
        try:
            text = record_to_json(record)
            (self._room / RECORD).write_bytes(text.encode())
            (self._room / PAGE).write_text(paper_page(text), encoding="utf-8")
            assert self._process.stdin is not None
            self._process.stdin.close()
        except Exception as error:  # noqa: BLE001 - whatever breaks the page, other reports stand
            self._problem = f"its page could not be drawn: {clean_text(error)}"

    def finished(self) -> bytes:
        """Wait for the PDF that was begun, and return it.

        Raises:
            PdfUnavailable: there is none.
        """
        if self._problem:
            raise PdfUnavailable(self._problem)
        try:
            code = self._process.wait(max(self._deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            limit = f"{self._bounds.seconds:g} s"
            raise PdfUnavailable(f"laying it out took longer than {limit}") from None
        if code == 0:
            return (self._room / PDF).read_bytes()
        raise PdfUnavailable(self._fate(code))

    def _start(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="auditor-pdf-", ignore_cleanup_errors=True)
        self._room = Path(self._open.enter_context(folder))
        (self._room / FONTS).write_text(font_settings(self._room), encoding="utf-8")
        with (self._room / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment(),
            )
        self._open.callback(_end, self._process)

    def _command(self) -> list[str]:
        limits = [str(self._bounds.memory), str(round(self._bounds.seconds))]
        return [sys.executable, "-P", "-m", "auditor.report.pdf_worker", str(self._room), *limits]

    def _environment(self) -> dict[str, str]:
        """Return an environment that is the same wherever the process runs, as far as it can be."""
        room = str(self._room)
        fixed = {
            "FONTCONFIG_FILE": str(self._room / FONTS),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONUTF8": "1",
            **dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME"), room),
        }
        return {name: os.environ[name] for name in KEPT if name in os.environ} | fixed

    def _fate(self, code: int) -> str:
        words = _last_words(self._room / "log")
        if code == GAVE_UP:
            return words
        if code < 0:
            known = {int(known): known.name for known in signal.Signals}
            most = f"{self._bounds.memory >> 20:,} MB"
            return (
                f"its process was ended by {known.get(-code, f'signal {-code}')} "
                f"(out of memory, perhaps: it may take {most})"
            )
        return f"its process ended with exit code {code}: {words}"


def _last_words(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
        if lines:
            return clean_text(lines[-1])
    return "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
