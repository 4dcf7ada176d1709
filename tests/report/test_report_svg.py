"""Drawings as SVG: nothing is cut, nothing that a strict page refuses, few bytes."""

import re
import xml.etree.ElementTree as ET

import pytest
from browser import CHROMIUM, chromium
from report_plots import EXTREMES, Text, texts
from report_records import rich_record

from auditor.report.plots.draw import draw
from auditor.report.plots.letters import fitted, text_width
from auditor.report.plots.svg import WIDTH, Canvas, block, joined, short
from auditor.report.theme import DARK, PRINT, SCREEN

RICH = {
    f"{finding.check} {number}": figure
    for finding in rich_record().findings
    for number, figure in enumerate(finding.figures)
    if figure.kind not in ("table", "images")
}
ALL = RICH | EXTREMES
ATTRIBUTES = {
    "svg": {"viewBox", "class", "role", "aria-label", "font-family", "font-size", "fill"}
    | {"stroke-linejoin"},
    "g": {"fill", "text-anchor", "font-weight"},
    "text": {"x", "y", "transform", "fill", "text-anchor", "font-weight"},
    "path": {"d", "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width"}
    | {"stroke-dasharray", "stroke-linecap"},
    "image": {"x", "y", "width", "height", "preserveAspectRatio", "image-rendering", "href"},
}


def outside(text: Text, height: float) -> bool:
    return any(not (0 <= x <= WIDTH and 0 <= y <= height) for x, y in text.corners)


@pytest.mark.parametrize("theme", [SCREEN, PRINT], ids=["screen", "paper"])
@pytest.mark.parametrize("plot", ALL.values(), ids=ALL)
def test_no_text_leaves_the_drawing(plot, theme):
    svg = draw(plot, theme).svg
    _, _, width, height = map(float, ET.fromstring(svg).get("viewBox").split())
    assert width == WIDTH
    assert [text for text in texts(svg) if outside(text, height)] == []


@pytest.mark.parametrize("theme", [SCREEN, PRINT, DARK], ids=["screen", "paper", "dark"])
@pytest.mark.parametrize("plot", ALL.values(), ids=ALL)
def test_looks_are_attributes_alone_and_the_bytes_the_same(plot, theme):
    drawing = draw(plot, theme)
    assert drawing == draw(plot, theme)
    for element in ET.fromstring(drawing.svg).iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag.rpartition("}")[2]]
        for name in ("fill", "stroke"):
            value = element.get(name, "none")
            assert value == "none" or re.fullmatch(r"#[0-9a-f]{6}|var\(--[a-z0-9]+\)", value)
    assert ("var(--" in drawing.svg) == (theme is SCREEN)
    assert not re.search(
        r"\d\.\d{3}|nan|inf(?!in)|e[-+]\d",
        re.sub(r">[^<]*<|aria-label=\S+|href=\S+", "", drawing.svg),
    )


@pytest.mark.parametrize("plot", EXTREMES.values(), ids=EXTREMES)
def test_no_extreme_takes_many_bytes(plot):
    assert len(draw(plot).svg) < 120_000


def test_text_is_as_wide_as_its_letters_and_cut_to_fit():
    assert text_width("iiii") < 0.5 * text_width("WWWW")
    assert text_width("layer", bold=True) > text_width("layer")
    for text in ("W" * 500, "i" * 500, "層" * 90, "a.b.c"):
        for bold in (False, True):
            assert text_width(fitted(text, 100.0, bold=bold), bold=bold) <= 100
    assert fitted("a.b.c", 100) == "a.b.c"
    assert re.fullmatch(r"enc\w*…\S*weight", fitted("encoder.layers.7.attention.weight", 90.0))
    assert fitted("a\u202eb", 100) == r"a\u202eb"


def test_numbers_are_short():
    assert [short(v) for v in (1.0, 0.25, -0.01, 1234.56, 1e20)] == [
        "1",
        "0.2",
        "0",
        "1234.6",
        "100000000000000000000",
    ]
    assert joined([(1, 2.04), (3.5, 4)]) == "M1 2 3.5 4"
    assert joined([(1, 2)]) == "M1 2h0"
    assert joined([]) == ""
    assert block(1, 2, 3, 4.5) == "M1 2h3v4.5h-3z"


def test_text_is_escaped():
    canvas = Canvas(50, SCREEN)
    canvas.text(10, 10, '<script>"&')
    svg = canvas.svg('"><script>')
    assert "<script" not in svg
    assert ET.fromstring(svg)[0].text == '<script>"&'


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_browser_finds_every_text_inside_and_every_colour():
    """With whatever font this machine has."""
    shown = {name: draw(plot).svg for name, plot in ALL.items() if not name.startswith("hostile")}
    style = ":root { --ink: #010203; --s0: #040506 } svg { font-family: sans-serif }"
    page = f"<style>{style}</style>{''.join(shown.values())}"
    with chromium() as browser:
        tab = browser.new_page()
        tab.set_content(page)
        cut = tab.evaluate(
            """() => [...document.querySelectorAll("text")].filter(text => {
                const inner = text.getBoundingClientRect();
                const outer = text.ownerSVGElement.getBoundingClientRect();
                return inner.left < outer.left - 1 || inner.right > outer.right + 1
                    || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
            }).map(text => text.textContent)"""
        )
        colours = tab.evaluate(
            """() => [["fill", "ink"], ["stroke", "s0"]].flatMap(([how, role]) =>
                [...document.querySelectorAll(`[${how}="var(--${role})"]`)]
                    .map(element => getComputedStyle(element)[how]))"""
        )
    assert cut == []
    assert set(colours) == {"rgb(1, 2, 3)", "rgb(4, 5, 6)"}
