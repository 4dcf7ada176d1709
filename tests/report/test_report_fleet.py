"""Many records as one fleet: grouping, order, what changed, and the page."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import CHROMIUM, chromium
from fleet_records import kept, small_record
from report_parsing import Page
from report_records import HOSTILE, SCRIPT

from auditor.commands.printing import write_shown
from auditor.core.changes import Kind
from auditor.core.glance import read_glance
from auditor.core.verdict import Verdict
from auditor.report.fleet.machine import fleet_json
from auditor.report.fleet.models import fleet
from auditor.report.fleet.page import render_fleet
from auditor.report.fleet.text import fleet_table
from auditor.report.fleet.view import STRIP, view_fleet


def audits(folder, *records):
    return [kept(record, folder / str(place)) for place, record in enumerate(records)]


@pytest.fixture
def three(tmp_path):
    """One model that broke yesterday, one that broke long ago, and one that never changed."""
    return fleet(
        audits(
            tmp_path,
            small_record("steady", 1, dead="pass"),
            small_record("steady", 9, dead="pass"),
            small_record("broke-early", 1, dead="pass"),
            small_record("broke-early", 2, dead="fail"),
            small_record("broke-early", 8, dead="fail"),
            small_record("broke-late", 1, dead="pass", scale="warn"),
            small_record("broke-late", 7, dead="fail", scale="pass"),
        )
    )


def test_the_newest_changes_come_first(three):
    assert [model.name for model in three] == ["broke-late", "broke-early", "steady"]
    late, early, steady = three
    assert {change.check: change.kind for change in late.changes} == {
        "dead": Kind.NEW,
        "scale": Kind.FIXED,
    }
    assert late.changed is late.last
    assert early.changed is early.audits[1]
    assert [change.kind for change in early.changes] == [Kind.NEW]
    assert steady.changed is steady.audits[0]
    assert steady.changes == ()


def test_a_line_says_what_changed_and_since_when(three):
    late, early, steady = view_fleet(three).models
    assert late.news == ""
    assert late.changes == ("1 new: dead", "1 fixed: scale")
    assert early.news == "As before, since 2 January 2026"
    assert early.changes == ("1 new: dead",)
    assert early.runs == "1 passed, then 2 failed"
    assert steady.news == "As in the first audit, 1 January 2026"
    assert steady.changes == ()


def test_audits_are_put_in_order_by_when_they_were_not_by_how_it_is_written(tmp_path):
    records = [small_record("a", 1, dead="fail"), small_record("a", 2, dead="pass")]
    times = ("2026-01-02T01:00:00+02:00", "2026-01-01T23:30:00+00:00")
    moved = [
        replace(record, volatile=replace(record.volatile, started=time))
        for record, time in zip(records, times, strict=True)
    ]
    (model,) = fleet(audits(tmp_path, *moved))
    assert model.last.glance.verdict is Verdict.PASS


def test_a_date_that_is_none_comes_before_every_other(tmp_path):
    known, odd = small_record("a", 1, dead="fail"), small_record("a", 2, dead="pass")
    odd = replace(odd, volatile=replace(odd.volatile, started=SCRIPT))
    (model,) = fleet(audits(tmp_path, known, odd))
    assert model.last.glance.verdict is Verdict.FAIL
    assert SCRIPT not in render_fleet(view_fleet([model]), tmp_path)


def test_models_of_one_name_are_told_apart_by_folder(tmp_path):
    same = [
        kept(small_record("best", 1, factory="a:build", dead="pass"), tmp_path / "one/x"),
        kept(small_record("best", 2, factory="a:build", dead="pass"), tmp_path / "one/y"),
        kept(small_record("best", 3, factory="b:build", dead="fail"), tmp_path / "two/x"),
    ]
    models = fleet(same)
    assert [(model.folder.removeprefix(str(tmp_path)), len(model.audits)) for model in models] == [
        ("/two/x", 1),
        ("/one", 2),
    ]


def test_a_record_that_lies_in_two_places_is_one_audit(tmp_path):
    record = small_record("a", 1, dead="pass")
    (model,) = fleet([kept(record, tmp_path / "a/b"), kept(record, tmp_path / "latest")])
    assert [audit.path.parent.name for audit in model.audits] == ["latest"]


def test_a_strip_holds_the_newest(tmp_path):
    many = [small_record("a", 1, dead="pass") for _ in range(STRIP + 5)]
    spread = [
        replace(record, volatile=replace(record.volatile, process=place))
        for place, record in enumerate(many)
    ]
    (view,) = view_fleet(fleet(audits(tmp_path, *spread))).models
    assert (len(view.history), view.earlier) == (STRIP, 5)


def test_the_page_asks_for_nothing_and_is_equal_for_equal_records(three, tmp_path):
    text = render_fleet(view_fleet(three), tmp_path)
    assert text == render_fleet(view_fleet(three), tmp_path)
    page = Page(text)
    assert not page.unbalanced
    assert page.tags["script"] == 0
    assert "http" not in "".join(page.values("href") + page.values("src"))
    assert "style" not in {name for _, name, _ in page.attributes}
    assert len(page.values("id")) == len(set(page.values("id")))
    assert page.tags["tr"] == 4


def test_reports_are_linked_from_where_the_page_lies(tmp_path):
    odd = tmp_path / "runs" / "javascript:alert(1) #?%"
    audit = kept(small_record("a", 1, dead="pass"), odd)
    (odd / "report.html").write_text("here", encoding="utf-8")
    text = render_fleet(view_fleet(fleet([audit])), tmp_path / "pages")
    (link,) = [value for value in Page(text).values("href") if not value.startswith("#")]
    assert link == "./../runs/javascript%3Aalert%281%29%20%23%3F%25/report.html"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name, tmp_path):
    record = small_record(name, 1, sha256=name, dead="fail")
    finding = replace(record.sections[0].findings[0], check=name, title=name)
    section = replace(record.sections[0], title=name, findings=(finding,))
    hostile = replace(record, sections=(section,))
    after = small_record(name, 2, sha256=name, dead="pass")
    models = fleet(audits(tmp_path, hostile, after))
    view = view_fleet(models)
    text = render_fleet(view, tmp_path)
    page = Page(text)
    assert page.tags["script"] == page.tags["img"] == page.tags["b"] == 0
    assert not page.unbalanced
    assert not {name for _, name, _ in page.attributes if name.startswith("on")}
    assert len(text) < 60_000
    assert json.loads(fleet_json(models))["models"][0]["verdict"] == "pass"
    assert "\x1b" not in shown(view)


def shown(view):
    file = io.StringIO()
    write_shown(fleet_table(view), file)
    return file.getvalue()


def test_text_fits_and_says_verdicts_in_words(three):
    text = shown(view_fleet(three))
    assert max(map(len, text.splitlines())) <= 80
    assert text.index("broke-late") < text.index("broke-early") < text.index("steady")
    assert "✗ Failed" in text
    assert "1 new: dead" in text


def test_json_tells_the_same(three):
    told = json.loads(fleet_json(three))
    assert told["verdicts"] == {"fail": 2, "pass": 1}
    first = told["models"][0]
    assert (first["name"], first["verdict"]) == ("broke-late", "fail")
    assert first["changes"][0] == {
        "kind": "new",
        "check": "dead",
        "title": "About dead",
        "where": [{"kind": "layer", "name": "a"}],
    }
    assert [audit["verdict"] for audit in first["audits"]] == ["warn", "fail"]
    assert Path(first["audits"][0]["record"]).is_file()


def test_a_hundred_records_are_read_in_a_fraction_of_a_second(record, tmp_path):
    usual = tuple(section for section in record.sections if section.id != "parameters")
    audit = kept(replace(record, sections=usual * 4), tmp_path)
    assert audit.path.stat().st_size > 400_000
    started = time.process_time()
    for _ in range(100):
        read_glance(audit.path)
    assert time.process_time() - started < 1


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_the_page_serves_all(three, tmp_path, width):
    file = tmp_path / "fleet.html"
    file.write_text(render_fleet(view_fleet(three), tmp_path), encoding="utf-8")
    with chromium() as browser:
        for scheme in ("light", "dark"):
            tab = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme
            ).new_page()
            requests, complaints = [], []
            tab.on("request", lambda request, seen=requests: seen.append(request.url))
            tab.on("console", lambda message, seen=complaints: seen.append(message.text))
            tab.goto(file.as_uri())
            assert requests == [file.as_uri()]
            assert complaints == []
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert Axe().run(tab).response["violations"] == []
