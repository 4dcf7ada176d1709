"""Writing: whole files or none, and a PDF that may be missing."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader

from auditor.core.record import AuditRecord, read_record, safe
from auditor.core.spec import FORMATS
from auditor.core.whole import write_whole
from auditor.report import files
from auditor.report.files import write_reports
from auditor.report.html import render_html
from auditor.report.pdf_process import PdfUnavailable


@pytest.fixture
def small(record) -> AuditRecord:
    return replace(record, sections=record.sections[1:2], causes=())


class NoPdf:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def begin(self, record):
        pass

    def finished(self):
        raise PdfUnavailable("a native library is missing")


def test_writes_what_was_asked_for(small, tmp_path):
    written = write_reports(small, tmp_path / "new" / "folder", FORMATS)
    assert [path.name for path in written.paths] == [
        "record.json",
        "report.html",
        "summary.md",
        "junit.xml",
        "audit.sarif",
        "report.pdf",
    ]
    assert written.problems == ()
    folder = tmp_path / "new" / "folder"
    names = {p.name for p in written.paths}
    assert {p.name for p in folder.iterdir()} == names | {"SHA256SUMS"}
    assert read_record(folder / "record.json") == safe(small)
    attached = PdfReader(folder / "report.pdf").attachments
    assert attached == {"record.json": [(folder / "record.json").read_bytes()]}
    assert write_reports(small, tmp_path / "one", ("json",)).paths == (
        tmp_path / "one" / "record.json",
    )


def test_files_hold_what_is_rendered(small, tmp_path):
    write_reports(small, tmp_path, ("html",))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_html(small)


def test_a_missing_pdf_is_a_problem_not_an_error(small, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PdfProcess", NoPdf)
    written = write_reports(small, tmp_path, ("pdf", "html", "json"))
    assert [path.name for path in written.paths] == ["record.json", "report.html"]
    assert written.problems == ("report.pdf was not written: a native library is missing",)


def test_a_report_that_breaks_costs_no_other(small, tmp_path, monkeypatch):
    monkeypatch.setitem(files._TEXTS, "html", lambda record: 1 / 0)
    written = write_reports(small, tmp_path, ("html", "json", "markdown"))
    assert [path.name for path in written.paths] == ["record.json", "summary.md"]
    assert "report.html" in written.problems[0]


def test_hostile_text_reaches_every_page(record, tmp_path):
    written = write_reports(record, tmp_path, ("html", "markdown", "junit"))
    assert len(written.paths) == 3


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_record_is_json_with_words_for_what_is_not_finite(record, tmp_path):
    inside = replace(record, sections=record.sections[2:3])
    write_reports(inside, tmp_path, ("json",))
    text = (tmp_path / "record.json").read_text()
    assert json.loads(text)["sections"][0]["findings"][1]["metrics"][0]["value"] == "Infinity"


def test_a_full_disk_names_the_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "page.html").write_text("earlier")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as told:
        write_whole(tmp_path / "page.html", b"new")
    assert told.value.filename == str(tmp_path / "page.html")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"page.html": "earlier"}
