"""The PDF: opens, has an outline and links that lead somewhere, and can be missing."""

import builtins
import io
import logging
import re
import sys

import pypdf
import pytest

from auditor.report.pdf import PACKAGES, PdfUnavailable, render_pdf

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
            x = tm[4] * cm[0] + cm[4]
            assert 0 <= x < 596

    for page in reader.pages:
        page.extract_text(visitor_text=visit)


def lines(page) -> list[str]:
    return [line.strip() for line in page.extract_text().splitlines() if line.strip()]


def test_pages_are_filled(reader, record):
    assert len(reader.pages) <= 16
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


@pytest.mark.slow
def test_equal_records_give_equal_bytes_and_no_noise(pdf, record, caplog, capfd):
    assert render_pdf(record) == pdf
    assert "".join(capfd.readouterr()) == ""
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("error", [OSError("cannot load library 'libpango'"), ImportError("no")])
def test_missing_libraries_are_named(record, monkeypatch, error):
    real = builtins.__import__

    def broken(name, *args, **kwargs):
        if name.startswith("weasyprint"):
            raise error
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.split(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(PdfUnavailable) as raised:
        render_pdf(record)
    assert (PACKAGES in str(raised.value)) == isinstance(error, OSError)
