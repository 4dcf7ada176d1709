"""What a report shows of earlier audits: what changed since one, and how metrics went."""

import io
from dataclasses import replace

import pytest
from fleet_records import small_record
from report_parsing import Page
from report_records import HOSTILE, rich_record

from auditor.commands.printing import write_shown
from auditor.core.compare import compared
from auditor.core.finding import Limit
from auditor.core.past import Past, PastAudit, Point, Trend
from auditor.core.record import AuditRecord, record_from_json, record_to_json, safe
from auditor.core.verdict import Verdict
from auditor.report.html import render_html
from auditor.report.markdown import render_markdown
from auditor.report.past import HEIGHT, view_past
from auditor.report.pdf_page import paper_page
from auditor.report.terminal import summary_table


def audits(count: int) -> tuple[PastAudit, ...]:
    verdicts = (Verdict.PASS, Verdict.FAIL, Verdict.INCOMPLETE, Verdict.NOT_APPLICABLE)
    return tuple(
        PastAudit(f"{n:012}", f"2026-01-{n + 1:02}T12:00:00+00:00", verdicts[n % 4])
        for n in range(count)
    )


def trend(*values: float | None, name: str = "accuracy", limit: Limit | None = None) -> Trend:
    points = tuple(None if value is None else Point(value) for value in values)
    return Trend("overfitted", name, "share", points, limit)


def with_past(record: AuditRecord, *trends: Trend, count: int = 4) -> AuditRecord:
    return replace(record, volatile=replace(record.volatile, past=Past(audits(count), trends)))


def test_the_first_audit_has_no_past() -> None:
    assert view_past(None) is None
    assert view_past(Past(audits(1))) is None
    assert 'class="past"' not in render_html(rich_record())


def test_a_trend_is_drawn_to_scale_and_broken_where_it_was_not_measured() -> None:
    view = view_past(Past(audits(4), (trend(0.1, None, 0.3, 0.2, limit=Limit(0.15, 0.9)),)))
    assert view is not None
    assert (view.title, view.span) == ("The last 4 audits", "1 January 2026 to 4 January 2026")
    assert [mark.verdict for mark in view.marks] == [one.verdict for one in audits(4)]
    (drawn,) = view.trends
    (_, low), (_, high), (_, last) = drawn.dots
    assert high < last < low, "the larger, the nearer to the top"
    assert high >= 0
    assert low <= HEIGHT
    assert drawn.line.count("M") == 2
    assert [severity for _, severity in drawn.limits] == ["warn"], "the other lies far off"
    assert (drawn.now, drawn.was) == ("20 %", "was 30 %, first 10 %")
    assert drawn.text == "accuracy: 10 %, not measured, 30 %, 20 %"


def test_intervals_are_drawn_and_kept_in_the_drawing() -> None:
    points = (Point(0.5, 0.1, 0.9), Point(0.5), Point(0.5, 0.4, float("inf")))
    view = view_past(Past(audits(3), (Trend("a", "b", "", points),)))
    assert view is not None
    (drawn,) = view.trends
    assert drawn.bars.count("M") == 1


@pytest.mark.parametrize(
    "values",
    [
        (1.0, 1.0, 1.0),
        (float("inf"), 1.0, 2.0),
        (float("nan"), 1.0, 2.0),
        (1e308, -1e308, 0.0),
        (None, None, 5.0),
    ],
)
def test_odd_values_can_be_drawn(values: tuple[float | None, ...]) -> None:
    view = view_past(Past(audits(3), (trend(*values, limit=Limit(float("inf"), 1e305)),)))
    assert view is not None
    for drawn in view.trends:
        assert all(0 <= y <= HEIGHT for _, y in drawn.dots)
        assert "nan" not in drawn.line
        assert "inf" not in drawn.line


def test_a_metric_that_was_never_finite_is_left_out() -> None:
    inf = float("inf")
    view = view_past(Past(audits(3), (trend(inf, inf, inf),)))
    assert view is not None
    assert view.trends == ()


def test_it_stands_in_the_section_on_tracking_on_screen_and_paper() -> None:
    record = with_past(rich_record(), trend(0.1, 0.2, 0.3, 0.4))
    page = Page(render_html(record))
    assert not page.unbalanced
    assert "The last 4 audits" in page.text
    assert page.values("class").count("spark") == 1
    paper = Page(paper_page(record_to_json(record)))
    assert not paper.unbalanced
    assert "The last 4 audits" in paper.text
    text = render_html(record)
    tracking = text.index('id="section-tracking"')
    assert tracking < text.index('class="past"') < text.index("No example stands in both splits")


def test_the_past_survives_the_record() -> None:
    odd = trend(float("nan"), float("inf"), 0.1, None, limit=Limit(0.1, None, "below"))
    record = with_past(small_record("a", 1, dead="pass"), odd)
    text = record_to_json(safe(record))
    assert record_to_json(record_from_json(text.encode())) == text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    before = small_record(name, 1, dead="pass")
    finding = replace(before.sections[0].findings[0], check=name, title=name)
    section = replace(before.sections[0], findings=(finding,))
    after = replace(
        before, sections=(replace(section, findings=(replace(finding, verdict=Verdict.FAIL),)),)
    )
    past = Past(
        (PastAudit(name, name, Verdict.FAIL), *audits(2)),
        (Trend(name, name, name[:40], (Point(1.0), Point(2.0), Point(3.0))),),
    )
    tracked = replace(after.sections[0], id="tracking")
    record = replace(
        after,
        sections=(tracked,),
        comparison=compared(replace(before, sections=(section,)), after, name),
        volatile=replace(after.volatile, past=past),
    )
    page = Page(render_html(record))
    assert page.tags["script"] == 1, "its own"
    assert page.tags["img"] == page.tags["b"] == 0
    assert not page.unbalanced
    assert "Compared with the audit of" in page.text
    assert "\x1b" not in shown(record)
    assert len(render_markdown(record).encode()) < 64_000


def shown(record: AuditRecord) -> str:
    file = io.StringIO()
    write_shown(summary_table(record), file)
    return file.getvalue()


def test_a_report_opens_with_what_changed() -> None:
    before = small_record("a", 1, fixed="fail", new="pass", same="warn")
    after = small_record("a", 2, fixed="pass", new="fail", same="warn")
    record = replace(after, comparison=compared(before, after, "old/record.json"))
    line = (
        "Compared with the audit of 1 January 2026, 12:00 UTC (old/record.json): "
        "1 new, 1 fixed, 1 unchanged."
    )
    for text in (
        Page(render_html(record)).text,
        Page(paper_page(record_to_json(record))).text,
        " ".join(shown(record).split()),
    ):
        assert line in " ".join(text.split())
        assert text.index(line[:40]) < text.index("What to fix first")
        assert "About new" in text
    summary = render_markdown(record)
    assert summary.index("Compared with") < summary.index("## What to fix first")
    assert "- ❌ **New:** About new (new, passed before, failed now)" in summary
    assert "About same (same, warning, as before)" not in summary, "what did not change is counted"
