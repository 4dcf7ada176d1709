"""Findings as JUnit XML, for the test views of build servers."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from auditor.core.finding import Finding
from auditor.core.record import AuditRecord, Section
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.core.waiver import Waiver
from auditor.report.view_finding import view_step
from auditor.report.wording import WORDS, number, prose

_BROKEN = {Verdict.ERROR, Verdict.INCOMPLETE}


def render_junit(record: AuditRecord) -> str:
    """Return JUnit XML: a suite for each section, a case for each check.

    What failed is a failure, what could not be judged an error, what does not apply is
    skipped; warnings and waived findings pass and say so in the case's output, which also holds
    what became of the check's waivers. Elements and attributes are those of Jenkins's schema.
    """
    seconds = record.volatile.seconds
    root = ET.Element(
        "testsuites",
        name=clean_text(record.subject.name, 120),
        time=f"{seconds:.3f}" if math.isfinite(seconds) else "0",
    )
    for section in record.sections:
        root.append(_suite(section, record.waivers))
    if record.error is not None:
        suite = ET.SubElement(root, "testsuite", name="audit", tests="1", failures="0", errors="1")
        suite.set("skipped", "0")
        case = ET.SubElement(suite, "testcase", name="The audit ran to its end", classname="audit")
        ET.SubElement(case, "error", message=prose(record.error), type="error")
    suites = list(root)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(section: Section, waivers: Iterable[Waiver]) -> ET.Element:
    cases = [_case(section, finding, waivers) for finding in section.findings]
    suite = ET.Element("testsuite", name=clean_text(section.title, 120), tests=str(len(cases)))
    for attribute, child in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(child) is not None for case in cases)))
    suite.extend(cases)
    return suite


def _case(section: Section, finding: Finding, waivers: Iterable[Waiver]) -> ET.Element:
    case = ET.Element(
        "testcase",
        name=clean_text(finding.check, 120),
        classname=f"audit.{clean_text(section.id, 60)}",
    )
    message = prose(f"{finding.title}. {finding.summary}")
    output = [_waiver(waiver) for waiver in waivers if waiver.check == finding.check]
    if finding.waived is not None:
        word = WORDS[finding.verdict].lower()
        output = [f"{word}, waived: {prose(finding.waived)}", message, *output]
    elif finding.verdict is Verdict.FAIL:
        _said(case, "failure", message, finding)
    elif finding.verdict in _BROKEN:
        _said(case, "error", message, finding)
    elif finding.verdict is Verdict.NOT_APPLICABLE:
        ET.SubElement(case, "skipped", message=message)
    elif finding.verdict is Verdict.WARN:
        output = [f"warning: {message}", _details(finding), *output]
    if output:
        ET.SubElement(case, "system-out").text = "\n".join(output)
    return case


def _said(case: ET.Element, kind: str, message: str, finding: Finding) -> None:
    element = ET.SubElement(case, kind, message=message, type=finding.verdict.value)
    element.text = _details(finding)


def _waiver(waiver: Waiver) -> str:
    return (
        f"waiver at {clean_text(waiver.where, 120)}, {prose(waiver.reason, 400)}: "
        f"{prose(waiver.said, 200)}"
    )


def _details(finding: Finding) -> str:
    lines = [prose(finding.waiver_note)] if finding.waiver_note else []
    lines += [
        f"{prose(metric.name, 120)}: {number(metric.value, metric.unit)}"
        for metric in finding.metrics[:20]
    ]
    lines += [
        f"{place.kind} {clean_text(place.name)} {prose(place.note, 200)}".rstrip()
        for place in finding.where[:20]
    ]
    for advice in finding.advice[:10]:
        step = view_step(advice)
        lines.append(f"- {''.join(span.text for span in step.text)}")
        lines += [f"    {line}" for line in step.code.splitlines()]
    return "\n".join(lines)
