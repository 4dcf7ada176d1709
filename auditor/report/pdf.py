"""The report as a PDF file, made by a process of its own that is held to limits."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from auditor.core.record import AuditRecord, record_to_json
from auditor.core.text import clean_text
from auditor.report.pdf_fonts import font_settings
from auditor.report.pdf_worker import FONTS, GAVE_UP, PDF, RECORD

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
    """What the process that makes a PDF may take: seconds, and bytes of address space."""

    seconds: float = 120.0
    memory: int = 4 << 30


BOUNDS = Bounds()


def render_pdf(record: AuditRecord, bounds: Bounds = BOUNDS) -> bytes:
    """Return the report as a PDF/A-3a file with the record inside, equal for equal records.

    Raises:
        PdfUnavailable: a library is missing, or the process failed or went beyond its bounds.
    """
    with making_pdf(record, bounds) as finished:
        return finished()


@contextlib.contextmanager
def making_pdf(record: AuditRecord, bounds: Bounds = BOUNDS) -> Iterator[Callable[[], bytes]]:
    """Start to make the PDF of a record, and hand out what waits for it.

    The process does not outlive the context. What is wrong comes out where it is waited for, as
    `PdfUnavailable`.
    """
    with contextlib.ExitStack() as stack:
        try:
            finished = _started(record, bounds, stack)
        except (OSError, ValueError) as error:
            finished = partial(_refused, f"it could not be begun: {clean_text(error)}")
        yield finished


def _started(
    record: AuditRecord, bounds: Bounds, stack: contextlib.ExitStack
) -> Callable[[], bytes]:
    room = Path(
        stack.enter_context(
            tempfile.TemporaryDirectory(prefix="auditor-pdf-", ignore_cleanup_errors=True)
        )
    )
    (room / RECORD).write_bytes(record_to_json(record).encode())
    (room / FONTS).write_text(font_settings(room), encoding="utf-8")
    with (room / "log").open("wb") as log:
        process = subprocess.Popen(
            _command(room, bounds),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=_environment(room),
        )
    stack.callback(_end, process)
    return partial(_finished, process, room, bounds)


def _command(room: Path, bounds: Bounds) -> list[str]:
    limits = [str(bounds.memory), str(round(bounds.seconds))]
    return [sys.executable, "-P", "-m", "auditor.report.pdf_worker", str(room), *limits]


def _environment(room: Path) -> dict[str, str]:
    """Return an environment that is the same wherever the process runs, as far as it can be."""
    fixed = {
        "FONTCONFIG_FILE": str(room / FONTS),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        **dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME"), str(room)),
    }
    return {name: os.environ[name] for name in KEPT if name in os.environ} | fixed


def _finished(process: subprocess.Popen[bytes], room: Path, bounds: Bounds) -> bytes:
    try:
        code = process.wait(bounds.seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        raise PdfUnavailable(
            f"laying it out took longer than {bounds.seconds:g} s; the other reports are whole"
        ) from None
    if code == 0:
        return (room / PDF).read_bytes()
    words = _last_words(room / "log")
    if code == GAVE_UP:
        raise PdfUnavailable(words)
    if code < 0:
        name = {int(known): known.name for known in signal.Signals}.get(-code, f"signal {-code}")
        raise PdfUnavailable(
            f"the process that lays it out was ended by {name} "
            f"(out of memory, perhaps: it may take {bounds.memory >> 20:,} MB)"
        )
    raise PdfUnavailable(f"the process that lays it out ended with exit code {code}: {words}")


def _refused(reason: str) -> bytes:
    raise PdfUnavailable(reason)


def _last_words(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
        if lines:
            return clean_text(lines[-1])
    return "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
