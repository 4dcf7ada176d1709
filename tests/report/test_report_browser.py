"""The page in a real browser: it asks for nothing, runs its own script alone, and serves all."""

from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import CHROMIUM, chromium

from auditor.core.finding import Finding, Limit, Metric
from auditor.core.record import Section, read_record
from auditor.core.verdict import Verdict
from auditor.report.html import render_html

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(page, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(page, encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def real_address(tmp_path_factory):
    """The report of an audit that found much, with a map and code to paste."""
    record = read_record(Path(__file__).parents[1] / "golden" / "record.json")
    assert record.layers
    file = tmp_path_factory.mktemp("real") / "report.html"
    file.write_text(render_html(record), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def quiet_address(record, tmp_path_factory):
    """A report in which nothing stands open: folded findings alone, and sections of none."""
    passed = tuple(f for f in record.findings if f.verdict in {Verdict.PASS, Verdict.INFO})
    unit = "of a measure with a rather long name"
    long = Metric("m" * 1000, 0.5, unit, 0.4, 0.6, Limit(0.2, 0.3))
    waived = Finding(
        "w", Verdict.FAIL, "A waived one", "Seen.", (long,), why="Why.", waived="Known."
    )
    sections = (
        Section("empty", "m" * 1000, Verdict.NOT_APPLICABLE, ()),
        Section("all", "All", Verdict.PASS, (*passed, waived)),
    )
    quiet = replace(record, verdict=Verdict.NOT_APPLICABLE, sections=sections, causes=())
    file = tmp_path_factory.mktemp("quiet") / "report.html"
    file.write_text(render_html(quiet), encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def opened(browser, address):
    """Open the report as a reader does; every request and complaint of the browser is kept."""
    contexts = []

    def opened(where=address, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        tab = context.new_page()
        tab.requests, tab.complaints = [], []
        tab.on("request", lambda request: tab.requests.append(request.url))
        tab.on("console", lambda message: tab.complaints.append(message.text))
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.goto(where)
        return tab

    yield opened
    for context in contexts:
        context.close()


def pressed(tab, verdict):
    tab.locator(f'[data-filter="{verdict}"]').click()


def test_nothing_is_requested_and_nothing_is_refused(opened, address):
    tab = opened()
    tab.locator("#filter-unfold").click()
    tab.wait_for_load_state("networkidle")
    assert [url for url in tab.requests if not url.startswith("data:")] == [address]
    assert tab.complaints == []


def test_no_other_script_runs(browser, page, tmp_path):
    planted = (
        "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
    )
    file = tmp_path / "report.html"
    file.write_text(page.replace("</main>", f"{planted}</main>"), encoding="utf-8")
    tab = browser.new_page()
    refused = []
    tab.on("console", lambda message: refused.append(message.text))
    tab.goto(file.as_uri())
    assert tab.title().startswith("digits-cnn: failed")
    assert "{{7*7}}" in tab.content()
    assert any("Content Security Policy" in text for text in refused)
    tab.close()


def test_everything_can_be_read_without_scripts(opened):
    tab = opened(java_script_enabled=False)
    assert not tab.locator(".filter").is_visible()
    assert not tab.locator(".theme").is_visible()
    assert tab.get_by_role("heading", name="What to fix first").is_visible()
    findings = tab.locator("#findings [data-verdict]")
    assert findings.count() > 5
    assert all(finding.is_visible() for finding in findings.all())
    folded = tab.locator("#findings details.line").first
    folded.locator("summary").first.click()
    assert folded.locator(".inside").is_visible()


def test_the_first_screen_has_the_answers(opened):
    tab = opened(viewport={"width": 1440, "height": 900})
    for part in (".verdict", ".headline", ".answers", "#sections", ".cause >> nth=0", ".facts dd"):
        box = tab.locator(part).first.bounding_box()
        assert box is not None
        assert box["y"] < 900, part


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_no_page_is_wider_than_its_screen(opened, address, real_address, quiet_address, width):
    for where in (address, real_address, quiet_address):
        tab = opened(where, viewport={"width": width, "height": 900})
        tab.locator("#filter-unfold").click()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("which", ["address", "real_address", "quiet_address"])
def test_axe_finds_no_violation(opened, request, which, scheme, width):
    where = request.getfixturevalue(which)
    tab = opened(where, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for unfolded in (False, True):
        if unfolded:
            tab.locator("#filter-unfold").click()
            tab.evaluate(
                "for (const fold of document.querySelectorAll('details')) fold.open = true"
            )
        found = Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()


def test_findings_are_filtered_by_verdict_and_section(opened):
    tab = opened()
    shown = tab.locator("#findings [data-verdict]:visible")
    total = shown.count()
    pressed(tab, "fail")
    failed = shown.count()
    assert 0 < failed < total
    assert {f.get_attribute("data-verdict") for f in shown.all()} == {"fail"}
    assert tab.locator("#filter-count").inner_text() == f"{failed} of {total} findings shown"
    pressed(tab, "warn")
    assert shown.count() > failed
    tab.locator("#filter-section").select_option("section-internals")
    assert tab.locator("#findings [data-section]:visible").count() == 1
    assert 0 < shown.count() <= total
    tab.locator("#filter-section").select_option("")
    pressed(tab, "fail")
    pressed(tab, "warn")
    assert shown.count() == total
    assert tab.locator("#filter-count").inner_text() == ""


def test_long_names_and_units_leave_room_for_the_scale(opened, quiet_address):
    tab = opened(quiet_address, viewport={"width": 1440, "height": 900})
    tab.locator("#filter-unfold").click()
    table = tab.locator("#finding-w .measures")
    assert table.locator(".scale").bounding_box()["width"] > 150
    inside, outside = table.bounding_box(), tab.locator("#finding-w").bounding_box()
    assert inside["x"] + inside["width"] <= outside["x"] + outside["width"] + 1


def test_a_section_without_findings_comes_back_with_the_others(opened, quiet_address):
    tab = opened(quiet_address)
    empty = tab.locator("#section-empty")
    pressed(tab, "pass")
    assert not empty.is_visible()
    pressed(tab, "pass")
    assert empty.is_visible()


def test_a_link_opens_what_it_leads_to_though_filtered_and_folded(opened):
    tab = opened()
    folded = tab.locator("#findings details.line").first
    id_ = folded.get_attribute("id")
    pressed(tab, "fail")
    assert not folded.is_visible()
    tab.evaluate(f"location.hash = '#{id_}'")
    tab.wait_for_function(f"document.getElementById('{id_}').open")
    assert folded.is_visible()
    assert tab.locator('[data-filter="fail"]').get_attribute("aria-pressed") == "false"


def test_links_of_the_map_lead_to_findings(opened, real_address):
    tab = opened(real_address)
    link = tab.locator("#map a[href^='#finding']:visible").first
    id_ = link.get_attribute("href").removeprefix("#")
    pressed(tab, "pass")
    assert not tab.locator(f"#{id_}").is_visible()
    link.click()
    tab.locator(f"#{id_}").wait_for()


def test_code_and_commands_are_copied(opened, real_address):
    tab = opened(real_address, permissions=["clipboard-read", "clipboard-write"])
    for kind in ("code.command", "pre.code"):
        code = tab.locator(f"{kind}:visible").first
        code.locator("xpath=following-sibling::button[1]").click()
        code.locator("xpath=following-sibling::button[text()='Copied']").wait_for()
        assert tab.evaluate("navigator.clipboard.readText()") == code.inner_text().strip()


def test_the_theme_is_the_systems_until_it_is_chosen_and_stays_chosen(opened):
    tab = opened(color_scheme="dark")

    def ground():
        return tab.evaluate("getComputedStyle(document.body).backgroundColor")

    dark = ground()
    tab.locator("#theme").select_option("light")
    light = ground()
    assert light != dark
    tab.reload()
    assert ground() == light
    tab.locator("#theme").select_option("")
    assert ground() == dark


def test_the_keyboard_reaches_folds_filters_and_links(opened):
    tab = opened()
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.tagName"))
    assert {"A", "BUTTON", "SELECT", "SUMMARY"} <= reached
    tab.locator("#findings details.line > summary").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#findings details.line").first.evaluate("fold => fold.open")
