"""Two audits side by side: the page, the text and the JSON."""

import io
import json
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import CHROMIUM, chromium
from fleet_records import small_record
from report_parsing import Page
from report_records import HOSTILE, SCRIPT

from auditor.commands.printing import write_shown
from auditor.core.compare import compared
from auditor.core.finding import Finding, Metric, Place
from auditor.core.fingerprint import fingerprint, identity_of
from auditor.core.record import AuditRecord, Section
from auditor.core.verdict import Verdict
from auditor.report.compare.machine import compare_json
from auditor.report.compare.page import render_compare
from auditor.report.compare.text import compare_table
from auditor.report.compare.view import MOST_DIFFERENCES, view_compare
from auditor.report.html import render_html
from auditor.report.markdown import render_markdown
from auditor.report.terminal import summary_table

SOURCES = ("old/record.json", "new/record.json")


@pytest.fixture(scope="module")
def pair() -> tuple[AuditRecord, AuditRecord]:
    """An audit and the one after it: something of every kind, other settings, other data."""
    before = small_record(
        "net", 1, new="pass", worse="warn", fixed="fail", gone="fail", same="warn"
    )
    after = small_record("net", 2, new="fail", worse="fail", fixed="pass", same="warn", fine="pass")
    split = before.subject.data["val"]
    return before, replace(
        with_metrics(after, Metric("accuracy", 0.9, "share", 0.88, 0.92)),
        spec={**before.spec, "audit": {"profile": "deep"}, "output": {"dir": "elsewhere"}},
        environment={**before.environment, "torch": "2.11.0"},
        subject=replace(
            after.subject,
            data={**after.subject.data, "val": replace(split, fingerprint="other")},
            checkpoint=replace(after.subject.checkpoint, sha256="ff" * 32),
        ),
    )


def with_metrics(record: AuditRecord, *metrics: Metric) -> AuditRecord:
    section = record.sections[0]
    findings = tuple(replace(finding, metrics=metrics) for finding in section.findings)
    return replace(record, sections=(replace(section, findings=findings),))


def text_of(before: AuditRecord, after: AuditRecord) -> str:
    file = io.StringIO()
    write_shown(compare_table(view_compare(before, after, SOURCES)), file)
    return file.getvalue()


def test_what_is_new_comes_first(pair):
    view = view_compare(*pair, SOURCES)
    assert view.headline == "net: 1 new, 1 worse, 1 fixed, 2 not comparable, 1 unchanged."
    assert [group.title for group in view.groups] == [
        "New",
        "Worse",
        "Fixed",
        "Not comparable",
        "Unchanged",
    ]
    assert [(one.check, one.told) for group in view.groups for one in group.findings] == [
        ("new", "passed before, failed now"),
        ("worse", "warning before, failed now"),
        ("fixed", "failed before, passed now"),
        ("fine", "not asked before, passed now"),
        ("gone", "failed before, not asked now"),
        ("same", "warning, as before"),
    ]
    assert view.cautions == (
        "The profiles differ: ?, then deep.",
        "The validation data differ.",
    )


def test_what_can_not_be_compared_is_told_by_its_reason():
    before = small_record("net", 1, **{f"fine-{n}": "pass" for n in range(40)}, gone="fail")
    after = small_record("net", 2, other="fail")
    (group,) = view_compare(before, after, SOURCES).groups
    assert [(one.line, one.verdict) for one in group.reasons] == [
        ("1 check: not asked before, failed now", Verdict.FAIL),
        ("1 check: failed before, not asked now", Verdict.FAIL),
        ("40 checks: passed before, not asked now", Verdict.NOT_APPLICABLE),
    ]
    text = text_of(before, after)
    assert "  1 check: failed before, not asked now (gone)\n" in text
    assert "fine-5 and 34 more)" in " ".join(text.split())
    assert len(text.splitlines()) < 15
    page = render_compare(view_compare(before, after, SOURCES))
    assert page.count('<details class="reason" open>') == 2, "what passed stays folded"
    assert all(f"<code>fine-{n}</code>" in page for n in range(40))

    compared_ = replace(after, comparison=compared(before, after, "old"))
    told = io.StringIO()
    write_shown(summary_table(compared_), told)
    for text in (told.getvalue(), render_markdown(compared_), render_html(compared_)):
        flat = " ".join(text.split())
        assert "40 checks: passed before, not asked now" in flat
        assert flat.index("failed before, not asked now") < flat.index("40 checks")
    assert "fine-39" not in told.getvalue()
    assert "fine-39" in render_markdown(compared_)


def test_metrics_of_checks_that_one_audit_alone_asked_are_left_out(pair):
    accuracy = Metric("accuracy", 0.9, "share")
    before, after = (with_metrics(one, accuracy) for one in pair)
    assert {row.check for row in view_compare(before, after, SOURCES).metrics} == {
        "new",
        "worse",
        "fixed",
        "same",
    }


def test_what_the_audits_were_made_with(pair):
    rows = {
        table.title: [(row.what, row.before, row.after) for row in table.rows]
        for table in view_compare(*pair, SOURCES).tables
    }
    assert rows == {
        "What differs of the subject": [
            ("checkpoint's SHA-256", "ab12cd34ab12", "ff" * 6),
            ("val fingerprint", "9f3c9f3c9f3c", "other"),
        ],
        "What differs of the settings": [("audit.profile", "not set", "deep")],
        "What differs of the environment": [("torch", "2.10.0", "2.11.0")],
    }


def test_metrics_stand_side_by_side(pair):
    before, after = pair
    early = with_metrics(
        before,
        Metric("accuracy", 0.8, "share", 0.78, 0.82),
        Metric("loss", 1.0, "nats", 0.5, 1.5),
        Metric("lost", 1.0),
    )
    late = with_metrics(
        after,
        Metric("accuracy", 0.9, "share", 0.88, 0.92),
        Metric("loss", 0.75, "nats", 0.4, 1.1),
        Metric("odd", float("nan")),
    )
    rows = {row.name: row for row in view_compare(early, late, SOURCES).of("new")}
    accuracy, loss = rows["accuracy"], rows["loss"]
    assert (accuracy.before, accuracy.after, accuracy.difference) == ("80 %", "90 %", "+10 points")
    assert (accuracy.before_interval, accuracy.apart) == ("78 to 82 %", True)
    assert (loss.difference, loss.apart) == ("−0.25 nats", False), "the intervals overlap"
    assert (rows["lost"].after, rows["lost"].difference) == ("–", "")
    assert (rows["odd"].before, rows["odd"].after) == ("–", "not a number")


def test_an_audit_beside_itself(pair):
    before, _ = pair
    view = view_compare(before, before, SOURCES)
    assert view.headline == "net: 4 unchanged."
    assert view.fine == "1 check found nothing wrong in either audit."
    assert (view.tables, view.cautions) == ((), ())


def test_nothing_found_in_either():
    fine = small_record("net", 1, a="pass", b="info")
    view = view_compare(fine, fine, SOURCES)
    assert view.headline == "net: nothing found in either by 2 checks."
    assert view.groups == ()


def test_text_fits(pair):
    text = text_of(*pair)
    assert max(map(len, text.splitlines())) <= 80
    assert text.index("\nNew\n") < text.index("\nWorse\n") < text.index("\nFixed\n")
    assert "! The validation data differ." in text
    assert "  audit.profile: not set → deep" in text
    assert "where: a (new)" in text


def test_json_counts_findings_and_places(pair):
    told = json.loads(compare_json(*pair, SOURCES))
    assert told["counts"] == {
        "new": 1,
        "worse": 1,
        "moved": 0,
        "not_comparable": 2,
        "better": 0,
        "waived": 0,
        "fixed": 1,
        "unchanged": 1,
        "fine": 0,
    }
    assert told["places"] == {"new": 1, "fixed": 2, "unchanged": 2}
    first = told["findings"][0]
    assert (first["check"], first["kind"], first["before"], first["after"]) == (
        "new",
        "new",
        "pass",
        "fail",
    )
    (place,) = first["places"]
    assert place["fingerprint"] == fingerprint(
        "new", identity_of(pair[1].subject), Place("layer", "a")
    )
    assert told["before"]["source"] == SOURCES[0]
    assert {metric["name"] for metric in told["metrics"]} == {"accuracy"}


def test_the_page_asks_for_nothing_and_is_equal_for_equal_records(pair):
    text = render_compare(view_compare(*pair, SOURCES))
    assert text == render_compare(view_compare(*pair, SOURCES))
    page = Page(text)
    assert not page.unbalanced
    assert page.tags["script"] == page.tags["img"] == 0
    assert not page.values("href")
    assert not page.values("src")
    assert "style" not in {name for _, name, _ in page.attributes}
    (policy,) = (value for value in page.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name):
    place, metric = Place("layer", name, name), Metric(name, 0.5, name[:40])
    shared = small_record(name, 1, sha256=name, factory=name)

    def record(verdict, value):
        finding = Finding(name, Verdict(verdict), name, name, (metric,), (place,))
        section = Section("internals", name, Verdict(verdict), (finding,))
        spec = {"name": name, "audit": {"profile": name}, name: {name: value}}
        return replace(shared, sections=(section,), spec=spec, environment={name: value})

    before, after = record("pass", name), record("fail", "other")
    view = view_compare(before, after, (name, name))
    page = Page(render_compare(view))
    assert page.tags["script"] == page.tags["img"] == page.tags["b"] == 0
    assert not page.unbalanced
    assert not {name for _, name, _ in page.attributes if name.startswith("on")}
    assert len(page.text) < 40_000
    assert json.loads(compare_json(before, after, (name, name)))["counts"]["new"] == 1
    text = text_of(before, after)
    assert "\x1b" not in text
    assert len(text) < 20_000


def test_long_comparisons_are_cut_and_say_so(pair):
    before, after = pair
    places = tuple(Place("layer", f"layer.{n}") for n in range(500))
    finding = replace(after.sections[0].findings[0], where=places)
    section = replace(after.sections[0], findings=(finding,))
    spec = {f"key {n}": n for n in range(500)}
    view = view_compare(before, replace(after, sections=(section,), spec=spec), SOURCES)
    (changed,) = view.groups[0].findings
    assert (len(changed.places), changed.left) == (40, 460)
    (table,) = (one for one in view.tables if one.title == "What differs of the settings")
    assert len(table.rows) == MOST_DIFFERENCES
    assert table.left > 0
    page = Page(render_compare(view))
    assert "and 460 more places" in page.text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_the_page_serves_all(pair, record, tmp_path):
    moved = replace(record, environment={"torch": SCRIPT}, spec={**record.spec, "name": "x"})
    pages = {
        "pair": view_compare(*pair, SOURCES),
        "rich": view_compare(moved, record, SOURCES),
    }
    with chromium() as browser:
        for name, view in pages.items():
            file = tmp_path / f"{name}.html"
            file.write_text(render_compare(view), encoding="utf-8")
            for width, scheme in ((1440, "light"), (390, "dark")):
                tab = browser.new_context(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                ).new_page()
                requests, complaints = [], []
                tab.on("request", lambda request, seen=requests: seen.append(request.url))
                tab.on("console", lambda message, seen=complaints: seen.append(message.text))
                tab.goto(file.as_uri())
                tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                assert Axe().run(tab).response["violations"] == []
                assert requests == [file.as_uri()]
                assert complaints == []
