"""The PDF: keeps the rules of an archive, has an outline and links that lead somewhere."""

import io
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pypdf
import pytest
from pdf_rules import broken_rules, elements

from auditor.core.moments import began_at
from auditor.core.record import record_to_json
from auditor.report.pdf import render_pdf

pytest.importorskip("weasyprint", exc_type=ImportError)


@pytest.fixture(scope="module")
def pdf(record):
    return render_pdf(record)


@pytest.fixture(scope="module")
def reader(pdf):
    return pypdf.PdfReader(io.BytesIO(pdf))


def titles(outline) -> list[str]:
    found = []
    for item in outline:
        found += titles(item) if isinstance(item, list) else [item.title]
    return found


def test_pages_have_numbers_and_a_running_header(reader):
    count = len(reader.pages)
    assert count > 5
    text = reader.pages[2].extract_text()
    assert f"3 of {count}" in text
    assert "digits-cnn · ab12cd34ab12" in text


def test_outline(reader):
    found = titles(reader.outline)
    assert "digits-cnn" in found[0]
    for title in ("What to fix first", "Confirm the loss", "Many units never fire"):
        assert any(title in name for name in found)


def test_links_lead_to_pages(reader):
    names = set(reader.named_destinations)
    wanted = set()
    for page in reader.pages:
        for link in page.get("/Annots", ()):
            target = link.get_object()
            action = target.get("/A", target)
            wanted.add(str(action.get("/Dest", action.get("/D"))))
            assert "/URI" not in action
    assert wanted
    assert wanted <= names


def test_folds_are_open_and_everything_is_there(reader):
    text = "".join(page.extract_text() for page in reader.pages)
    for words in (
        "The first loss is that of a uniform guess",
        "Pruned on purpose",
        "Label smoothing fits the task",
        "Title {{7*7}}",
    ):
        assert words in text
    assert "JavaScript" not in str(reader.trailer["/Root"].keys())


def test_nothing_runs_past_the_edge(reader):
    def visit(text, cm, tm, font, size):
        if text.strip():
            assert 0 <= tm[4] * cm[0] + tm[5] * cm[2] + cm[4] < 596

    for page in reader.pages:
        page.extract_text(visitor_text=visit)


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="poppler is not installed")
def test_margins_are_white_and_pages_are_not_empty(pdf, tmp_path):
    (tmp_path / "report.pdf").write_bytes(pdf)
    draw = ["pdftoppm", "-r", "25.4", "-gray", tmp_path / "report.pdf", tmp_path / "page"]
    subprocess.run(draw, check=True)
    drawn = sorted(tmp_path.glob("page*.pgm"))
    for number, path in enumerate(drawn, 1):
        head, _, data = path.read_bytes().partition(b"\n255\n")
        wide, high = map(int, head.split()[1:])
        dark = np.frombuffer(data, np.uint8).reshape(high, wide) < 200  # a pixel is a millimetre
        assert not dark[:, :15].any(), f"page {number}"
        assert not dark[:, wide - 15 :].any(), f"page {number}"
        body = dark[17 : high - 15].any(axis=1)
        assert body.any(), f"page {number}"
        if number < len(drawn):
            assert np.flatnonzero(body).max() > 0.25 * len(body), f"page {number} is nearly empty"


def lines(page) -> list[str]:
    return [line.strip() for line in page.extract_text().splitlines() if line.strip()]


def test_pages_are_filled(reader, record):
    assert len(reader.pages) <= 18
    known = titles(reader.outline)
    shown = [lines(page) for page in reader.pages]
    where = {title: number for number, page in enumerate(shown) for title in known if title in page}
    assert where["Sections"] <= 1
    inside = [
        section.title
        for section in record.sections
        if shown[where[section.title]].index(section.title) > 3
    ]
    assert len(inside) >= 2, "sections start where the one before ends"


def test_no_page_ends_in_a_heading_or_between_a_measure_and_its_limits(reader):
    headings = set(titles(reader.outline))
    for page in reader.pages:
        shown = [line for line in lines(page) if not re.fullmatch(r"\d+ of \d+", line)]
        assert shown[-1] not in headings
        assert not any(line.startswith(("warns ", "fails ")) for line in shown[:3])


def test_it_keeps_the_rules_of_pdf_a_3a(pdf):
    assert broken_rules(pdf) == []


def test_the_record_lies_inside_byte_by_byte(reader, record):
    assert reader.attachments == {"record.json": [record_to_json(record).encode()]}


def test_it_says_what_it_is_and_when_the_audit_began(reader):
    said = reader.metadata
    assert said.title == "digits-cnn: failed – model audit"
    assert said.creator == "auditor"
    assert said.creation_date.isoformat() == "2026-11-23T15:20:00+00:00"
    assert said.modification_date == said.creation_date
    assert reader.trailer["/Root"]["/Lang"] == "en"


def test_it_is_tagged_from_the_title_to_the_last_table(reader):
    roles = [element["/S"] for element in elements(reader)]
    assert roles[0] == "/Document"
    assert roles.count("/H1") == 1
    for role in ("/H2", "/H3", "/P", "/L", "/Table", "/TH", "/TD", "/Figure", "/Caption", "/Link"):
        assert role in roles


@pytest.mark.parametrize(
    ("began", "year"),
    [("no date", 1970), ("2026-11-23T15:20:00", 2026), ("0001-01-01T00+09", 1970)],
)
def test_a_date_of_no_meaning_costs_no_pdf(record, began, year):
    assert began_at(replace(record, volatile=replace(record.volatile, started=began))).year == year


@pytest.mark.skipif(shutil.which("qpdf") is None, reason="qpdf is not installed")
def test_qpdf_finds_no_fault(pdf, tmp_path):
    (tmp_path / "report.pdf").write_bytes(pdf)
    done = subprocess.run(
        ["qpdf", "--check", tmp_path / "report.pdf"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("pdfinfo") is None, reason="poppler is not installed")
def test_poppler_reads_it_without_a_word(pdf, tmp_path):
    (tmp_path / "report.pdf").write_bytes(pdf)
    done = subprocess.run(["pdfinfo", tmp_path / "report.pdf"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.search(rb"Tagged: +yes", done.stdout)


@pytest.mark.slow
def test_equal_records_give_equal_bytes_and_no_noise(pdf, record, caplog, capfd):
    assert render_pdf(record) == pdf
    assert "".join(capfd.readouterr()) == ""
    assert not caplog.records
