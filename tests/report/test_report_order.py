"""The same order of things on a terminal, in Markdown and in a notebook, at every width."""

import io
import re
from dataclasses import replace

import pytest
from browser import CHROMIUM, chromium
from markdown_it import MarkdownIt
from report_parsing import Page
from rich.console import Console

from auditor.core.verdict import Verdict
from auditor.report.markdown import render_markdown
from auditor.report.notebook import render_notebook
from auditor.report.terminal import summary_table
from auditor.report.view import view_page

WIDTHS = (60, 80, 120)


def terminal(record, width=80, whole=False, colour=False):
    file = io.StringIO()
    system = "standard" if colour else None
    Console(file=file, width=width, force_terminal=colour, color_system=system).print(
        summary_table(record, whole=whole)
    )
    return file.getvalue()


def markdown_page(record):
    """Return Markdown as a viewer of pull requests shows it."""
    made = MarkdownIt("commonmark", {"html": True}).enable("table").render(render_markdown(record))
    return Page(made)


def texts(record):
    return {
        "terminal": " ".join(terminal(record, whole=True).split()),
        "markdown": " ".join(markdown_page(record).text.split()),
        "notebook": " ".join(Page(render_notebook(record)).text.split()),
    }


@pytest.mark.parametrize("form", ["terminal", "markdown", "notebook"])
def test_the_order_of_things(record, form):
    text = texts(record)[form]
    page = view_page(record)
    first = page.causes[0].remedies[0]
    marks = (
        page.name,
        page.answer,
        page.headline,
        page.sureness,
        "What to fix first",
        "The learning rate is too high",
        f"{first.trial.before} → {first.trial.after}",
        "Also found",
        "A simple model is nearly as good",
        page.sections[0].title,
        "ab12cd34ab12",
        "What could not be judged, and why",
        "Gradients agree with finite differences",
        "Findings",
        "Many units never fire",
    )
    place = 0
    for mark in marks:
        found = text.find(mark, place)
        assert found >= 0, f"{mark!r} is not in its place"
        place = found + 1


@pytest.mark.parametrize("form", ["terminal", "markdown", "notebook"])
def test_what_did_not_run_to_its_end_says_so(record, form):
    assert "The disk is full." in texts(replace(record, error="The disk is full."))[form]


@pytest.mark.parametrize("form", ["terminal", "markdown", "notebook"])
def test_nothing_to_fix_is_said(record, form):
    passed = tuple(f for f in record.findings if f.verdict is Verdict.PASS)[:2]
    section = replace(record.sections[0], verdict=Verdict.PASS, findings=passed)
    clean = replace(record, verdict=Verdict.PASS, sections=(section,), causes=())
    assert "Nothing to fix" in texts(clean)[form]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_terminal_of_any_width_is_filled_and_never_overrun(record, width, whole):
    lines = terminal(record, width, whole).splitlines()
    assert width - 8 < max(map(len, lines)) <= width
    assert not any(line != line.rstrip() for line in lines)


def test_a_finding_on_a_terminal_has_its_value_its_limit_and_its_place(record):
    text = " ".join(terminal(record).split())
    assert (
        "✗ Failed Many units never fire (dead-units) "
        "worst dead share: 58.6 % (95 % interval 54 to 63 %), warns above 5 %, fails above 20 %"
    ) in text
    assert re.search(r"where: encoder\.layers\.\S+, \S+, \S+ and 37 more", text)


def test_passed_checks_are_counted_and_sections_too(record):
    text = terminal(record)
    passed = [f for f in record.findings if f.verdict is Verdict.PASS]
    assert f"✓ Passed: {len(passed)} checks" in text
    assert "One batch can be learnt by heart" not in text
    assert "? Incomplete  Confirm the loss: 1 not judged, 1 passed, 1 not applicable" in text
    (row,) = (line for line in terminal(record, 90).splitlines() if line.startswith("Confirm"))
    assert re.split(r"\s{2,}", row.replace("? ", " ? ")) == [
        "Confirm the loss",
        "? Incomplete",
        *".1.1.1.",
    ]


def test_colour_says_nothing_that_words_do_not(record):
    coloured = terminal(record, colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == terminal(record)


def test_a_viewer_of_markdown_sees_folds_and_no_markup_of_the_texts(record):
    page = markdown_page(record)
    assert not page.unbalanced
    assert not {"script", "img", "a", "b"} & set(page.tags)
    assert page.tags["details"] > 10
    assert "![x](http" in page.text.replace("\u200b", "")


def test_a_fold_in_markdown_holds_what_belongs_to_it(record):
    text = render_markdown(record)
    assert text.count("<details>") == text.count("</details>")
    for block in text.split("<details>")[1:]:
        assert block.startswith("<summary>")
        assert block.index("</summary>\n\n") < block.index("\n\n</details>")


def test_a_notebook_shows_little_and_touches_nothing_else(record):
    text = render_notebook(record)
    page = Page(text)
    assert len(text.encode()) < 60_000
    assert text == render_notebook(record)
    assert not page.unbalanced
    assert page.tags["script"] == page.tags["img"] == page.tags["a"] == 0
    assert not page.values("id")
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    selectors = re.findall(r"([^{}]+)\{[^{}]*\}", style.replace("@media screen and", ""))
    named = [one.strip() for group in selectors for one in group.split(",")]
    assert named
    assert all(".auditor-record" in one for one in named)


def test_a_notebook_bears_a_huge_record(record):
    many = replace(record.sections[2], findings=record.sections[2].findings * 60)
    hostile = replace(record.sections[3], findings=record.sections[3].findings * 20)
    text = render_notebook(replace(record, sections=(many, hostile) * 10))
    assert len(text.encode()) < 60_000


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_notebook_has_the_theme_of_the_notebook(record, tmp_path):
    papers = {}
    with chromium() as browser:
        for system in ("light", "dark"):
            for light in ("true", "false"):
                file = tmp_path / "notebook.html"
                body = f'<body data-jp-theme-light="{light}">{render_notebook(record)}</body>'
                file.write_text(f"<!doctype html><meta charset='utf-8'>{body}", encoding="utf-8")
                tab = browser.new_context(color_scheme=system).new_page()
                tab.goto(file.as_uri())
                seen = tab.locator(".auditor-record").evaluate("e => getComputedStyle(e).color")
                papers[system, light] = seen
    assert papers["light", "true"] == papers["dark", "true"] == "rgb(28, 36, 48)"
    assert papers["light", "false"] == papers["dark", "false"] == "rgb(228, 232, 237)"
