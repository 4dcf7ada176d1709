"""Writing reports to files, each whole or not at all."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from auditor.core.record import RECORD, AuditRecord, record_to_json
from auditor.core.spec import Format
from auditor.core.text import clean_text
from auditor.core.whole import make_folder, write_whole
from auditor.report.html import render_html
from auditor.report.junit import render_junit
from auditor.report.markdown import render_markdown
from auditor.report.pdf_process import PdfProcess
from auditor.report.sarif import render_sarif
from auditor.report.sums import write_sums

NAMES: dict[Format, str] = {
    "json": RECORD,
    "html": "report.html",
    "markdown": "summary.md",
    "junit": "junit.xml",
    "sarif": "audit.sarif",
    "pdf": "report.pdf",
}
"""The file of each report, in its folder."""


@dataclass(frozen=True)
class Written:
    """The files that were written, and why others were not."""

    paths: tuple[Path, ...]
    problems: tuple[str, ...]


def write_reports(
    record: AuditRecord,
    folder: Path,
    formats: Sequence[Format],
    process: PdfProcess | None = None,
    *,
    shared: bool | None = None,
) -> Written:
    """Write the reports asked for into `folder`, which is made where there is none.

    Nobody else can read them unless they are `shared`, as the record's spec says where it is left
    out.
    The record goes first and the PDF last; `process`, where one was started, makes it meanwhile.
    A report that can't be made becomes a problem and costs no other one. The hashes of all stand
    in a file beside them.

    Raises:
        OSError: a file can't be written; the earlier one of its name stays as it was.
    """
    if shared is None:
        shared = bool(record.spec.get("output", {}).get("shared", False))
    make_folder(folder, shared=shared)
    written: dict[str, bytes] = {}
    problems: list[str] = []
    with ExitStack() as stack:
        for name, render in _renderers(record, formats, process, stack).items():
            path = folder / NAMES[name]
            try:
                data = render()
            except Exception as error:  # noqa: BLE001 - whatever breaks one report, the others stand
                reason = clean_text(error) or type(error).__name__
                problems.append(f"{path.name} was not written: {reason}")
                continue
            write_whole(path, data, shared=shared)
            written[path.name] = data
    if written:
        write_sums(folder, written, shared=shared)
    return Written(tuple(folder / name for name in written), tuple(problems))


_TEXTS: dict[Format, Callable[[AuditRecord], str]] = {
    "json": record_to_json,
    "html": render_html,
    "markdown": render_markdown,
    "junit": render_junit,
    "sarif": render_sarif,
}


def _renderers(
    record: AuditRecord,
    formats: Sequence[Format],
    process: PdfProcess | None,
    stack: ExitStack,
) -> dict[Format, Callable[[], bytes]]:
    """Return what makes each report asked for; the PDF is begun at once."""

    def encoded(text: Callable[[AuditRecord], str]) -> bytes:
        return text(record).encode()

    renderers: dict[Format, Callable[[], bytes]] = {
        name: partial(encoded, text) for name, text in _TEXTS.items() if name in formats
    }
    if "pdf" in formats:
        pdf = process or stack.enter_context(PdfProcess())
        pdf.begin(record)
        renderers["pdf"] = pdf.finished
    return renderers
