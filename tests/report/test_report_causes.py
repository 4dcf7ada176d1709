"""What to fix first: short at first sight, with what trials showed, on every medium."""

from dataclasses import replace

import pytest
from report_parsing import Page
from rich.console import Console

from auditor.core.record import AuditRecord, Cause, Remedy
from auditor.report.html import render_html
from auditor.report.markdown import render_markdown
from auditor.report.terminal import summary_table
from auditor.report.view import FIRST_CAUSES, view_page
from auditor.report.view_cause import TrialView

HELPED = Remedy("Divide by 255.", True, 0.25, 0.75, "accuracy of copies", True)
IN_VAIN = Remedy("Wait.", True, 0.5, 0.45, "accuracy of copies")
ADVICE = Remedy("Use `BatchNorm1d`.")
UNTRIED = Remedy("Clip.", measure="could not be tried: no factory")


def with_causes(record: AuditRecord, *causes: Cause) -> AuditRecord:
    return replace(record, causes=causes)


def cause(*remedies: Remedy, number: int = 0) -> Cause:
    title = f"Inputs are off, {number}"
    findings = ("dead-units", "exploding-activations", "redundant-units", "label-smoothing")
    return Cause(f"c{number}", title, "confirmed by a trial", findings, remedies)


def test_bars_are_as_long_as_the_scores_and_accuracies_lie_between_0_and_1(record) -> None:
    (shown,) = view_page(with_causes(record, cause(HELPED))).causes
    assert shown.remedies[0].trial == TrialView(
        "accuracy of copies", "0.25", "0.75", 25, 75, True, "better in every run"
    )
    loss = replace(HELPED, before=4.0, after=1.0, measure="loss of copies")
    (shown,) = view_page(with_causes(record, cause(loss))).causes
    trial = shown.remedies[0].trial
    assert trial is not None
    assert (trial.before_share, trial.after_share) == (100, 25)


@pytest.mark.parametrize("broken", [None, float("inf"), float("nan")])
def test_a_score_that_is_no_number_has_no_bar(record, broken: float | None) -> None:
    diverged = replace(HELPED, before=broken, after=2.0, measure="loss of copies")
    (shown,) = view_page(with_causes(record, cause(diverged))).causes
    trial = shown.remedies[0].trial
    assert trial is not None
    assert (trial.before_share, trial.after_share) == (0, 100)
    assert '<rect width="0" height="6"' in render_html(with_causes(record, cause(diverged)))


def test_a_remedy_tried_in_vain_is_never_called_better(record) -> None:
    given = with_causes(record, cause(IN_VAIN))
    (shown,) = view_page(given).causes
    assert not shown.proven
    assert shown.remedies[0].trial.outcome == "no certain gain"
    for text in (Page(render_html(given)).text, render_markdown(given)):
        assert "no certain gain" in text
        assert "better in every run" not in text


def test_the_first_remedy_is_shown_and_the_others_are_folded(record) -> None:
    page = render_html(with_causes(record, cause(HELPED, ADVICE, IN_VAIN, UNTRIED)))
    first, folded = page.index("Divide by 255."), page.index("3 more remedies")
    assert first < folded < page.index("BatchNorm1d") < page.index("could not be tried")
    assert 'start="2"' in page
    assert "3 more remedies; it may explain 3 other findings" in page
    for check in ("exploding-activations", "redundant-units"):
        assert f'<a href="#finding-{check}">' in page


def test_what_a_finding_says_is_cut_at_its_first_sentence(record) -> None:
    dead = next(f for f in record.findings if f.check == "dead-units")
    for summary, opening in (
        ("Half of `a` is dead. The rest is not.", "Half of a is dead."),
        ("It is 0.5 of 1.0 here. `b` too.", "It is 0.5 of 1.0 here."),
        ("One sentence without an end", "One sentence without an end"),
        ("", ""),
    ):
        section = next(s for s in record.sections if dead in s.findings)
        findings = tuple(replace(f, summary=summary) if f is dead else f for f in section.findings)
        sections = tuple(
            replace(s, findings=findings) if s is section else s for s in record.sections
        )
        (shown,) = view_page(replace(record, sections=sections)).causes
        assert "".join(span.text for span in shown.seen) == opening


def test_more_than_three_causes_are_folded(record) -> None:
    many = tuple(cause(ADVICE, number=number) for number in range(5))
    given = with_causes(record, *many)
    view = view_page(given)
    assert (len(view.causes), len(view.more_causes)) == (FIRST_CAUSES, 2)
    page = render_html(given)
    places = [page.index(f"Inputs are off, {number}") for number in range(5)]
    assert places == sorted(places)
    assert places[2] < page.index("2 more likely causes") < places[3]
    assert "Inputs are off, 4" in render_markdown(given)


def test_the_terminal_shows_causes_and_what_the_first_remedy_did(record) -> None:
    console = Console(width=80)
    given = with_causes(record, *(cause(HELPED, number=number) for number in range(5)))
    with console.capture() as captured:
        console.print(summary_table(given))
    text = " ".join(captured.get().split())
    assert text.index("What to fix first") < text.index("1. Inputs are off, 0")
    assert "tried: accuracy of copies 0.25 → 0.75, better in every run" in text
    assert "may explain 3 other findings" in text
    assert "2 more likely causes in the report" in text
    assert all(len(line) <= 80 for line in captured.get().splitlines())
