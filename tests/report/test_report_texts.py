"""Markdown, JUnit and the terminal."""

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from report_records import HOSTILE
from rich.console import Console

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from auditor.core.waiver import Waiver, WaiverState
from auditor.report.junit import render_junit
from auditor.report.markdown import escaped, render_markdown
from auditor.report.terminal import summary_table


def test_markdown_is_short_and_escaped(record):
    text = render_markdown(record)
    assert len(text.encode("utf-8")) < 64_000
    assert text == render_markdown(record)
    plain = re.sub(r"</?(code|sub|details|summary)>", "", text)
    assert not re.search(r"<[a-zA-Z!/]", plain)
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "\x1b" not in text
    assert "{{" not in text


def test_markdown_text_stays_text():
    for given, shown in (
        ("# a", "\u200b# a"),
        ("- a", "\u200b- a"),
        ("1. a", "\u200b1. a"),
        ("0.0178: a", "0.0178: a"),
        ("-0.5", "-0.5"),
        ("*a* _b_ [c](d)", "\\*a\\* \\_b\\_ \\[c\\](d)"),
        ("a-b 1.5", "a-b 1.5"),
        ("@user", "@\u200buser"),
        ("see #12", "see #\u200b12"),
        ("<b>&", "&#60;b&#62;&#38;"),
        ("http://x", "http&#58;//x"),
        ("www.x", "www&#46;x"),
        ("a|b\\", "a&#124;b\\\\"),
    ):
        assert escaped(given) == shown


def test_markdown_tables_keep_their_columns(record):
    rows = [line for line in render_markdown(record).splitlines() if line.startswith("| ")]
    assert rows
    assert all(line.count("|") in {4, 5} for line in rows)


def test_markdown_of_a_huge_record_is_cut(record):
    many = replace(record.sections[2], findings=record.sections[2].findings * 60)
    text = render_markdown(replace(record, sections=(many,)))
    assert len(text.encode("utf-8")) < 64_000
    assert "summary was cut" in text


def test_sections_stand_in_a_summary_whatever_is_cut(record):
    cause = replace(record.causes[0], title=f"`{'word ' * 280}`", confidence="<" * 400)
    waiver = Waiver("c" * 80, "<" * 120, "&" * 400, "2030-01-01", WaiverState.EXPIRED, ("",))
    text = render_markdown(replace(record, causes=(cause,) * 300, waivers=(waiver,) * 300))
    assert len(text) < 65_536
    assert len(text.encode("utf-8")) < 64_000
    for heading in ("## Sections", "## What was audited", "## Waivers", "summary was cut"):
        assert heading in text


def test_a_long_summary_is_whole_in_markdown(record):
    summary = " ".join(f"word{number}" for number in range(150))
    section = record.sections[0]
    found = replace(section.findings[0], summary=f"{summary} `code` {summary}")
    longer = replace(section, findings=(found, *section.findings[1:]))
    text = render_markdown(replace(record, sections=(longer, *record.sections[1:])))
    assert f"{summary} <code>code</code> word0" in text


def test_junit_counts_agree(record):
    root = ET.fromstring(render_junit(record))
    suites = root.findall("testsuite")
    assert len(suites) == 5
    for suite, section in zip(suites, record.sections, strict=True):
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases) == len(section.findings)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped",) * 2):
            assert int(suite.get(attribute)) == len(suite.findall(f"testcase/{tag}"))
    assert root.get("tests") == str(len(record.findings))
    assert root.get("failures") == "2"
    assert root.get("errors") == "1"
    assert sum(int(suite.get("skipped")) for suite in suites) == 1


JUNIT = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped"}, {"testcase"}),
    "testcase": ({"name", "classname"}, {"failure", "error", "skipped", "system-out"}),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "skipped": ({"message"}, set()),
    "system-out": (set(), set()),
}
"""Of what Jenkins, Surefire and GitLab all read, what is written: attributes and children."""


@pytest.mark.parametrize("error", [None, HOSTILE[4]])
def test_junit_has_nothing_that_a_build_server_does_not_know(record, error):
    root = ET.fromstring(render_junit(replace(record, error=error)))
    for element in root.iter():
        attributes, children = JUNIT[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
        assert all(element.get(name) for name in attributes & {"name", "tests", "failures"})
    assert re.fullmatch(r"\d+(\.\d+)?", root.get("time"))


def test_junit_tells_failures_from_errors(record):
    for finding in record.findings:
        alone = replace(record, sections=(replace(record.sections[0], findings=(finding,)),))
        (case,) = ET.fromstring(render_junit(alone)).iter("testcase")
        tags = {child.tag for child in case} - {"system-out"}
        live = finding.waived is None
        expected = {
            Verdict.FAIL: {"failure"},
            Verdict.ERROR: {"error"},
            Verdict.NOT_APPLICABLE: {"skipped"},
        }
        assert tags == (expected.get(finding.verdict, set()) if live else set())


def test_junit_warnings_pass_and_say_so(record):
    root = ET.fromstring(render_junit(record))
    case = root.find(".//testcase[@name='simple-baseline']")
    assert case.find("failure") is None
    assert case.findtext("system-out").startswith("warning: ")
    assert "Pruned on purpose" in root.findtext(".//testcase[@name='redundant-units']/system-out")


def test_junit_tells_of_an_audit_that_stopped(record):
    root = ET.fromstring(render_junit(replace(record, error="The disk is full.")))
    assert root.find(".//testcase/error[@message='The disk is full.']") is not None


def shown(record, width: int = 80, colour: bool = False) -> str:
    file = io.StringIO()
    Console(
        file=file, width=width, force_terminal=colour, color_system="standard" if colour else None
    ).print(summary_table(record))
    return file.getvalue()


def hostile(record, name: str):
    finding = Finding("c", Verdict.FAIL, name, name)
    return replace(record, sections=(replace(record.sections[0], findings=(finding,), title=name),))


def test_terminal_table_fits(record):
    lines = shown(record).splitlines()
    assert max(map(len, lines)) <= 80
    assert "Failed" in shown(record)
    assert "dead" not in lines[0]


def test_terminal_says_verdicts_in_words(record):
    text = shown(record)
    for word in ("Failed", "Warning", "Incomplete", "Passed", "Not judged"):
        assert word in text


def test_names_can_neither_mark_up_nor_control_a_terminal(record):
    text = shown(hostile(record, "[red]a[/red] \x1b[31mb \x9b2J \r\u202e" + "m" * 100_000))
    assert "[red]a[/red]" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert len(text) < 3000
