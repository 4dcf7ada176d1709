"""The page: whole, safe, the same every time, and in the order promised."""

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
from report_parsing import Page
from report_records import HOSTILE, SCRIPT, rich_record

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from auditor.report import html
from auditor.report.answer import answer, headline, sureness, unflawed
from auditor.report.html import render_html
from auditor.report.theme import DARK, PRINT, ROLES
from auditor.report.view import view_page
from auditor.report.view_audit import data_line, view_audit
from auditor.report.view_finding import StepView
from auditor.report.wording import Span

TEMPLATES = Path(html.__file__).parent / "templates"


@pytest.fixture(scope="module")
def parsed(page):
    return Page(page)


def test_equal_records_give_equal_bytes(page):
    assert render_html(rich_record()).encode("utf-8") == page.encode("utf-8")


def test_tags_are_balanced(parsed):
    assert parsed.unbalanced == []
    assert parsed.open == []


def test_nothing_is_asked_of_anyone(parsed, page):
    assert not parsed.tags.keys() & {
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "input",
        "a:href",
        "video",
    }
    addresses = [*parsed.values("src"), *parsed.values("href"), *parsed.values("xlink:href")]
    assert addresses
    assert all(a.startswith(("#", "data:image/png;base64,")) for a in addresses)
    assert not re.search(r"@import|url\((?!#)", page)


def test_no_handlers_and_no_script_but_its_own(parsed, page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script == (TEMPLATES / "page.js").read_text(encoding="utf-8")
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert not [value for _, _, value in parsed.attributes if "javascript:" in value.lower()]


def test_policy_forbids_everything_but_its_own(parsed):
    policy = next(v for v in parsed.values("content") if "default-src" in v)
    assert "default-src 'none'" in policy
    script = (TEMPLATES / "page.js").read_bytes()
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert "img-src data:" in policy
    assert "base-uri 'none'" in policy


def test_ids_are_unique_and_links_lead_somewhere(parsed):
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    references = [v[1:] for v in parsed.values("href") if v.startswith("#")]
    for value in (*parsed.values("clip-path"), *parsed.values("style")):
        references += re.findall(r"url\(#([^)]+)\)", value)
    assert set(references) <= set(ids)


@pytest.mark.parametrize("name", [n for n in HOSTILE if len(n) < 100 and n.isprintable()])
def test_hostile_text_is_shown_as_text(parsed, name):
    assert name.split("`")[0] in parsed.text


def test_controls_are_made_visible(page, parsed):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    for shown in (r"\x1b[31mred", r"abc\u202edef", r"nul\x00byte", r"lone\ud800surrogate"):
        assert shown in parsed.text
    assert SCRIPT not in page
    assert "(1,000,000 characters, sha256 " in parsed.text
    assert len(page) < 1_000_000


def test_template_text_in_names_is_not_run(parsed):
    assert "Title {{7*7}}" in parsed.text
    assert "Title 49" not in parsed.text


def test_order_of_the_page(page):
    parts = [
        'class="hero',
        'class="answers"',
        'id="first"',
        'id="sections"',
        'id="audited"',
        'id="unjudged"',
        'id="section-start-simple"',
        'id="section-loss"',
        'id="section-internals"',
        'id="section-parameters"',
        'id="section-tracking"',
        'id="audit"',
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)


def test_view_puts_the_worst_first_and_folds_the_rest(record):
    assert {f.check for f in view_page(record).first}.isdisjoint(record.causes[0].findings)
    view = view_page(replace(record, causes=()))
    assert [f.verdict for f in view.first[:3]] == ["fail", "fail", "warn"]
    inside = view.sections[2]
    assert [f.check for f in inside.open] == ["dead-units", "exploding-activations"]
    assert [f.check for f in inside.waived] == ["redundant-units"]
    assert "Pruned on purpose" in "".join(s.text for s in inside.waived[0].waived)
    assert {f.check for group in view.unjudged for f in group} == {
        "label-smoothing",
        "gradient-check",
    }
    assert not [f for f in view.first if f.waived is not None]


def test_checks_that_one_reason_keeps_from_judging_stand_together(record):
    section = record.sections[0]
    skipped = replace(
        section.findings[0], verdict=Verdict.NOT_APPLICABLE, summary="There is no log.", waived=None
    )
    two = (replace(skipped, check="one"), replace(skipped, check="two"))
    view = view_page(replace(record, sections=(replace(section, findings=two),)))
    assert [[f.check for f in group] for group in view.unjudged] == [["one", "two"]]


def test_every_verdict_has_words(parsed):
    for word in (
        "Passed",
        "Warning",
        "Failed",
        "For information",
        "Not applicable",
        "Could not be judged",
        "Incomplete",
        "warning, waived",
    ):
        assert word in parsed.text


def test_incomplete_and_stopped_audits_say_so(record):
    broken = replace(record, verdict=Verdict.INCOMPLETE, error=f"The disk is full. {SCRIPT}")
    text = Page(render_html(broken)).text
    assert "The audit did not run to its end." in text
    assert "The disk is full." in text
    assert "Incomplete" in text[: text.index("What to fix first")]


@pytest.mark.parametrize(
    ("batches", "read", "said"),
    [
        (200, 64, "train: 1,024 examples (first 64 of 200 batches)"),
        (64, 64, "train: 1,024 examples (first 64 batches)"),
        (1, 1, "train: 1,024 examples (first 1 batch)"),
        (16, 16, "train: 1,024 examples"),
    ],
)
def test_how_much_of_the_data_was_read(record, batches, read, said):
    train = record.subject.data["train"]
    split = replace(train, batches=batches, batches_read=read, complete=batches == 16)
    subject = replace(record.subject, data={"train": split})
    assert data_line(subject) == said
    rows = dict(view_audit(replace(record, subject=subject)).data.rows)
    assert (
        rows["Batches"] == (said.partition("(")[2].rstrip(")") or "16 batches") + " of 64 examples"
    )


def test_an_empty_record_has_a_page(record):
    empty = replace(
        record,
        sections=(),
        causes=(),
        plan=(),
        warnings=(),
        environment={},
        spec={},
        subject=replace(record.subject, checkpoint=None, data={}),
    )
    assert "Nothing could be judged." in Page(render_html(empty)).text


def test_code_in_advice_is_code(page):
    assert "set <code>lr=0.01</code> and train again." in page


def test_how_to_run_one_check_again(page):
    assert "audit run SPEC --only dead-units" in page


def test_the_page_has_every_colour_in_light_and_dark(page):
    for role in ROLES:
        assert page.count(f"--{role}: {PRINT[role]};") == 1
        assert page.count(f"--{role}: {DARK[role]};") == 2


def test_headlines(record):
    def with_verdicts(*verdicts):
        findings = tuple(Finding(f"c{i}", v, "t", "s") for i, v in enumerate(verdicts))
        return headline(replace(record, sections=(replace(record.sections[0], findings=findings),)))

    passed, failed, warned, broken = Verdict.PASS, Verdict.FAIL, Verdict.WARN, Verdict.ERROR
    assert with_verdicts(passed, passed) == "All 2 checks that could be judged passed."
    assert with_verdicts(passed) == "The one check that could be judged passed."
    assert with_verdicts(failed, passed) == "1 of 2 checks failed."
    assert with_verdicts(failed, warned, broken) == (
        "1 of 2 checks failed, 1 gives a warning and 1 could not be judged."
    )
    assert with_verdicts(broken, passed) == ("1 check could not be judged and the other 1 passed.")
    assert with_verdicts() == "Nothing could be judged."


def test_the_answer_says_no_more_than_was_judged(record):
    def answered(verdict, *verdicts):
        findings = tuple(Finding(f"c{i}", v, "t", "s") for i, v in enumerate(verdicts))
        sections = (replace(record.sections[0], findings=findings),)
        return answer(replace(record, verdict=verdict, sections=sections))

    assert answered(Verdict.FAIL, Verdict.FAIL, Verdict.PASS) == "Not as it is."
    assert "warnings" in answered(Verdict.WARN, Verdict.WARN)
    assert answered(Verdict.PASS, Verdict.PASS) == "Nothing that was checked speaks against it."
    assert answered(Verdict.INCOMPLETE, Verdict.ERROR).startswith("Not known")
    for left in ((), (Verdict.INFO,), (Verdict.NOT_APPLICABLE,)):
        said = answered(Verdict.NOT_APPLICABLE, *left)
        assert said == "Not known: nothing could be judged."


def test_nothing_to_fix_says_no_more_than_was_judged(record):
    passed = Finding("a", Verdict.PASS, "t", "s")
    excused = Finding("b", Verdict.FAIL, "t", "s", waived="Known.")
    broken = Finding("c", Verdict.ERROR, "t", "s")

    def said(*findings, verdict=Verdict.PASS, error=None):
        sections = (replace(record.sections[0], findings=findings),)
        now = replace(record, verdict=verdict, sections=sections, error=error)
        return answer(now), *unflawed(now)

    assert said(passed)[1:] == ("Nothing to fix", "No check failed or gave a warning.")
    answered, title, sentence = said(passed, excused)
    assert answered == "Nothing that was checked speaks against it, save what is waived."
    assert (title, sentence) == (
        "Nothing to fix",
        "No check failed or gave a warning, save what is waived.",
    )
    for some in (said(passed, broken), said(passed, error="The disk is full.")):
        assert some[1] == "Nothing known to fix"
        assert some[2] == "No check that could be judged failed or gave a warning."
    for left in ((), (broken,), (excused,)):
        assert said(*left)[1:] == ("Nothing known to fix", "No check came to a verdict.")


def test_what_failed_speaks_against_a_model_though_the_audit_stopped(record):
    failed = (Finding("a", Verdict.FAIL, "t", "s"),)
    sections = (replace(record.sections[0], findings=failed),)
    stopped = replace(record, verdict=Verdict.INCOMPLETE, sections=sections, error="Stopped.")
    assert answer(stopped) == "Not as it is."


def test_how_sure_says_where_no_remedy_was_tried(record):
    causes = tuple(replace(cause, remedies=()) for cause in record.causes)
    assert sureness(replace(record, causes=causes)).endswith("No remedy was tried on copies.")


def test_how_sure_counts_verdicts_examples_and_causes(record):
    said = sureness(record)
    judged = [f for f in record.findings if f.verdict in {"pass", "warn", "fail"}]
    assert said.startswith(f"{len(judged)} of {len(record.findings)} checks gave a verdict")
    assert f"helped against 1 of {len(record.causes)} likely cause" in said
    split = record.subject.data["train"]
    part = replace(split, complete=False, examples=1024)
    subject = replace(record.subject, data={"train": part})
    assert "looked at: the first 1,024 training examples." in sureness(
        replace(record, subject=subject)
    )
    whole = replace(subject, data={"train": replace(part, complete=True)})
    assert "looked at: all 1,024 training examples." in sureness(replace(record, subject=whole))


def test_a_step_shown_without_its_code_ends_like_a_sentence():
    said = (Span("Lower "), Span("lr", code=True), Span(" to 0.003:"))
    assert StepView(said, "optimizer = ...").alone[-1] == Span(" to 0.003.")
    assert StepView(said).alone == said
    assert StepView((Span("a:", code=True),), "x = 1").alone == (Span("a:", code=True),)
