"""Reports of very large models: what is long folds, or is cut on paper and says so."""

import io
from dataclasses import replace

import pypdf
import pytest
import report_records as given
from report_parsing import Page

from auditor.core.figure import Image, Images, Table
from auditor.core.finding import Finding, Metric
from auditor.core.record import Section
from auditor.core.verdict import Verdict
from auditor.report.html import render_html
from auditor.report.tables import shown_table

LONG = Table(
    "All layers",
    "In the order of execution.",
    ("layer", "kind", "input", "output", "parameters", "weights", "cost", "memory"),
    tuple((f"row{i}", "Linear", "N×7", "N×7", i, 1.5 * i, 2.0, 0.1) for i in range(1000)),
)
MANY = Images(
    "Filters",
    "Edges are learnt.",
    tuple(Image(f"filter{i}.", given.png(16, i)) for i in range(70)),
    columns=8,
)


@pytest.fixture(scope="module")
def long_record():
    passes = tuple(
        Finding(
            f"pass-{i}",
            Verdict.PASS,
            f"Title of pass {i}",
            f"Summary of pass {i}.",
            (Metric(f"measure{i}", 0.25 + i),),
            figures=(given.LOSS,),
        )
        for i in range(18)
    )
    info = Finding(
        "pictures",
        Verdict.INFO,
        "Pictures of all",
        "Nothing is judged.",
        (Metric("size", 3.0),),
        figures=(MANY, LONG),
    )
    whole = Section("internals", "Intermediate outputs", Verdict.PASS, (*passes, info))
    return replace(given.rich_record(), sections=(whole,), causes=())


@pytest.fixture(scope="module")
def long_page(long_record):
    return render_html(long_record)


@pytest.fixture(scope="module")
def paper(long_record):
    pytest.importorskip("weasyprint", exc_type=ImportError)
    from auditor.report.pdf import render_pdf

    return pypdf.PdfReader(io.BytesIO(render_pdf(long_record)))


def test_a_long_table_folds_on_the_page(long_page):
    before, _, folded = long_page.partition("988 more rows")
    assert "<td>row11</td>" in before
    assert "<td>row12</td>" not in before
    assert "<td>row999</td>" in folded
    assert len(long_page) < 1_500_000


def test_a_table_as_long_as_the_page_bears_says_what_is_left_out():
    rows = LONG.rows + LONG.rows
    view = shown_table(replace(LONG, rows=rows))
    assert (len(view.rows), view.total) == (1000, 2000)
    assert "first 1000 of 2,000 rows" in view.note
    assert shown_table(LONG).note == ""
    assert len(shown_table(replace(LONG, rows=rows[:40])).printed) == 40


def test_passes_and_notes_are_lines_that_open(long_page):
    parsed = Page(long_page)
    assert parsed.unbalanced == []
    assert long_page.count('<details class="line pass"') == 18
    assert long_page.count('<details class="line info"') == 1
    assert " open" not in " ".join(name for _, name, _ in parsed.attributes)


def test_a_gallery_shows_64_pictures_and_counts_the_rest(long_page):
    assert "filter63." in long_page
    assert "filter64." not in long_page
    assert "6 more pictures are in record.json." in long_page


def test_paper_has_the_first_rows_and_says_where_the_others_are(paper):
    text = " ".join("".join(page.extract_text() for page in paper.pages).split())
    assert "row39" in text
    assert "row40" not in text
    assert "The first 40 of 1,000 rows; the whole table is in record.json." in text
    assert len(paper.pages) <= 15


def test_paper_shows_the_measures_and_the_first_plot_of_what_passed(paper):
    text = " ".join("".join(page.extract_text() for page in paper.pages).split())
    assert "Summary of pass 17." in text
    assert "measure17 17.3" in text or "measure17 17.2" in text
    assert text.count(given.LOSS.title) == 18
    assert "their tables and further plots are in the HTML report" in text


def test_nothing_on_paper_is_clipped(paper):
    for page in paper.pages:

        def visit(text, cm, tm, font, size):
            if text.strip():
                assert 0 <= tm[4] * cm[0] + tm[5] * cm[2] + cm[4] < 596

        page.extract_text(visitor_text=visit)
