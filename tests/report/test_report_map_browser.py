"""The model map in a real browser: nothing is cut off, and its marks lead to their findings."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import CHROMIUM, chromium
from map_records import record_of, renamed

from auditor.report.html import render_html

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]


@pytest.mark.parametrize("many", [10, 1000])
def test_a_browser_finds_nothing_amiss(many, tmp_path):
    file = tmp_path / "report.html"
    record = renamed(record_of(many, causes=("dead-units",)), "transformer.encoder.Wide_MODULE.")
    file.write_text(render_html(record), encoding="utf-8")
    with chromium() as browser:
        for width, scheme in ((1440, "light"), (1024, "dark"), (390, "light")):
            tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            refused = []
            tab.on("console", lambda message: refused.append(message.text))  # noqa: B023
            tab.goto(file.as_uri())
            tab.locator("#map details summary").click()
            found = Axe().run(tab, context="#map")
            assert found.violations_count == 0, found.generate_report()
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            drawn = tab.locator("#map .map-drawing:visible")
            assert drawn.count() == 1
            assert tab.locator("#map svg.map-drawing a").count() == 0
            outside = drawn.evaluate(
                "(svg) => { const box = svg.getBoundingClientRect();"
                " return [...svg.querySelectorAll('text')].filter((text) => {"
                " const own = text.getBoundingClientRect();"
                " return own.left < box.left - 1 || own.right > box.right + 1; })"
                ".map((text) => text.textContent); }"
            )
            assert outside == []
            assert refused == []
            tab.close()


def test_a_click_on_a_row_and_a_key_on_the_list_lead_to_the_finding(tmp_path):
    file = tmp_path / "report.html"
    file.write_text(render_html(record_of(10)), encoding="utf-8")
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.goto(file.as_uri())
        tab.locator(".map-wide .map-links a").first.click()
        assert tab.url.endswith("#finding-dead-units")
        tab.locator('.map-list a[href="#finding-weights-degenerate"]').focus()
        tab.keyboard.press("Enter")
        assert tab.url.endswith("#finding-weights-degenerate")
