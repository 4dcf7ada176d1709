"""Steps of advice on pages and in files: code is shown as it is, and stays in its block."""

import html
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from auditor.core.advice import MOST_LINES, quoted, step
from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from auditor.report.html import render_html
from auditor.report.junit import render_junit
from auditor.report.markdown import render_markdown
from auditor.report.view_finding import view_step
from tests.names import HOSTILE_NAMES

SHOWN = [name for name in HOSTILE_NAMES if "\ud800" not in name]


def code_for(name):
    return f"layer = model.get_submodule({quoted(name)})\n# ```\nwith torch.no_grad():\n    layer"


@pytest.fixture
def told(record):
    def make(advice):
        finding = Finding("dead-units", Verdict.FAIL, "Units are dead", "Some.", advice=(advice,))
        return replace(
            record, sections=(replace(record.sections[0], findings=(finding,)),), causes=()
        )

    return make


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_shows_code_as_it_is(told, name):
    page = render_html(told(str(step("Do this:", code_for(name)))))
    (block,) = re.findall(r'<pre class="code"[^>]*><code>(.*?)</code></pre>', page, re.DOTALL)
    assert html.unescape(block) == code_for(name)


@pytest.mark.parametrize("name", SHOWN)
def test_markdown_shows_code_in_its_step_and_nothing_gets_out_of_it(told, name):
    lines = render_markdown(told(str(step("Do this:", code_for(name))))).splitlines()
    start = lines.index("1. Do this:")
    opened = lines[start + 1].strip()
    marks = opened.removesuffix("python")
    end = lines.index(f"   {marks}", start + 2)
    assert "\n".join(line[3:] for line in lines[start + 2 : end]) == code_for(name)
    assert not any(marks in line for line in lines[start + 2 : end])


@pytest.mark.parametrize("name", SHOWN)
def test_junit_shows_code_indented(told, name):
    root = ET.fromstring(render_junit(told(str(step("Do this:", code_for(name))))))
    text = root.find(".//failure").text
    wanted = "\n".join(f"    {line}" for line in code_for(name).split("\n"))
    assert f"- Do this:\n{wanted}" in text


def test_code_of_a_foreign_record_is_made_harmless_or_left_out():
    odd = view_step("Do this:\n```python\nx = 1 # \u202e\x1b[31m\n```")
    assert odd.code == "x = 1 # \\u202e\\x1b[31m"
    assert not view_step("Do this:\n```python\n" + "x\n" * (MOST_LINES + 1) + "```").code
    assert not view_step("Do this:\n```python\n" + "x" * 10_000 + "\n```").code
    assert not view_step("Do this:\n```python onload=x\nx\n```").code


def test_what_to_start_with_is_the_sentence(told):
    page = render_html(told(str(step("Lower it:", "x = 1"))))
    assert '<span class="quiet">Start with:</span> Lower it.</p>' in page
