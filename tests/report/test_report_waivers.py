"""Every report shows every waiver: its reason, its end, and what became of it."""

import io
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from report_records import HOSTILE
from rich.console import Console

from auditor.core.record import AuditRecord, record_from_json, record_to_json
from auditor.core.verdict import Verdict
from auditor.core.waiver import Waiver, WaiverState
from auditor.report.html import render_html
from auditor.report.junit import render_junit
from auditor.report.markdown import render_markdown
from auditor.report.notebook import render_notebook
from auditor.report.pdf_page import paper_page
from auditor.report.terminal import summary_table

WAIVERS = (
    Waiver("redundant-units", "*", "pruned on purpose", "2030-01-31", WaiverState.HOLDS, ("",)),
    Waiver("dead-units", "head", "old", "2026-01-31", WaiverState.EXPIRED, ("head",)),
    Waiver("duplicates", "val", "known twins", "", WaiverState.UNMATCHED),
)
NOTE = "The waiver for head (old) expired on 2026-01-31, so it counts again."


@pytest.fixture
def waived(record: AuditRecord) -> AuditRecord:
    sections = [
        replace(
            section,
            findings=tuple(
                replace(finding, waiver_note=NOTE) if finding.verdict is Verdict.FAIL else finding
                for finding in section.findings
            ),
        )
        for section in record.sections
    ]
    return replace(record, sections=tuple(sections), waivers=WAIVERS)


def terminal(record: AuditRecord) -> str:
    file = io.StringIO()
    Console(file=file, width=80).print(summary_table(record))
    return " ".join(file.getvalue().split())


RENDERERS = {
    "html": render_html,
    "pdf": lambda record: paper_page(record_to_json(record)),
    "markdown": render_markdown,
    "notebook": render_notebook,
    "terminal": terminal,
    "junit": render_junit,
}


@pytest.mark.parametrize("form", RENDERERS)
def test_every_waiver_is_shown_with_its_reason_and_its_end(waived: AuditRecord, form: str) -> None:
    text = RENDERERS[form](waived).replace("\\", "").replace("\u200b", "")
    for waiver in WAIVERS:
        if form == "junit" and waiver.check == "duplicates":
            continue
        assert waiver.reason in text
        assert waiver.until in text
        assert waiver.said in text


@pytest.mark.parametrize("form", ["html", "pdf", "markdown", "terminal", "junit"])
def test_a_finding_tells_that_its_waiver_expired(waived: AuditRecord, form: str) -> None:
    assert NOTE in RENDERERS[form](waived)


@pytest.mark.parametrize("form", RENDERERS)
def test_without_waivers_nothing_is_said_of_them(record: AuditRecord, form: str) -> None:
    text = RENDERERS[form](record)
    assert "Waivers" not in text
    assert "waiver at" not in text


def test_junit_shows_what_became_of_a_waiver_in_the_case_of_its_check(waived) -> None:
    root = ET.fromstring(render_junit(waived))
    output = root.findtext(".//testcase[@name='duplicates']/system-out")
    assert (
        output == "waiver at val, known twins: Covers nothing in this audit: remove it, or "
        "mend the place it names."
    )


def test_a_waiver_is_not_told_twice(waived: AuditRecord) -> None:
    warned = replace(waived, warnings=(*(one.warning for one in WAIVERS), "Another thing."))
    page = render_html(warned)
    assert page.count("covers nothing in this audit") == 0
    assert page.count("Covers nothing in this audit") == 1
    assert "Another thing." in page


def test_waivers_come_back_out_of_a_record(waived: AuditRecord) -> None:
    kept = replace(waived, sections=(), layers=())
    assert record_from_json(record_to_json(kept).encode()).waivers == WAIVERS


def test_the_texts_of_waivers_stay_texts(waived: AuditRecord) -> None:
    hostile = tuple(
        Waiver(text, text, text, text, WaiverState.EXPIRED, (text,)) for text in HOSTILE
    )
    odd = replace(waived, waivers=hostile)
    assert "<script>alert(1)" not in render_html(odd)
    assert "\x1b[31m" not in terminal(odd)
    assert len(render_markdown(odd).encode()) < 64_000
    ET.fromstring(render_junit(odd))


def test_what_needs_somebody_stands_in_sight_in_markdown(waived: AuditRecord) -> None:
    assert "\n## Waivers\n" in render_markdown(waived)
    calm = render_markdown(replace(waived, waivers=WAIVERS[:1]))
    assert "## Waivers" not in calm
    assert "<summary>Waivers (1)</summary>" in calm
