"""Findings as SARIF 2.1.0, for code scanning: one rule a check, one result a place."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from auditor.core.finding import Finding, Place
from auditor.core.fingerprint import fingerprint, identity_of
from auditor.core.moments import began_at
from auditor.core.record import AuditRecord
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.core.waiver import Waiver, WaiverState
from auditor.report.markdown import escaped, numbered
from auditor.report.source import source_of
from auditor.report.view_finding import view_step
from auditor.report.wording import plain, prose

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

MOST_RESULTS = 5000
"""GitHub shows no more of a run, and refuses 25,000."""
MOST_RULES = 1000
_LONGEST = 1000
"""Characters of one message; GitHub wants at most 1,024 of a rule's."""
_LEVELS = {Verdict.FAIL: "error", Verdict.WARN: "warning"}
_NOT_TEXT = re.compile(r"(?<=\])(?=\()|(?<=\{)(?=\d+\})")
_FINITE = timedelta(days=3650).total_seconds()


def render_sarif(record: AuditRecord) -> str:
    """Return SARIF: what failed is an error, a warning a warning, what is waived suppressed.

    What could not be judged is no result but a notification of the run.
    """
    found = sorted(record.findings[:MOST_RULES], key=lambda one: one.verdict is not Verdict.FAIL)
    name = re.sub(r"[^\w.-]+", "-", clean_text(record.subject.name, 80)).strip("-") or "model"
    run = {
        "tool": {"driver": {"name": "auditor", "rules": list(map(_rule, found))}},
        "automationDetails": {"id": f"audit/{name}/"},
        "invocations": [_invocation(record, found)],
        "results": list(islice(_results(record, found), MOST_RESULTS)),
        "columnKind": "unicodeCodePoints",
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _text(text: object, longest: int = _LONGEST) -> str:
    """Return text in which no link and no placeholder of a message is read."""
    return _NOT_TEXT.sub("\u200b", prose(text, longest - 60))


def _rule(finding: Finding) -> dict[str, Any]:
    check = clean_text(finding.check, 80)
    steps = [view_step(advice) for advice in finding.advice[:8]]
    said = [_text(plain(step.text)) for step in steps]
    again = f"audit explain {escaped(check)} tells how it is measured and when it misleads."
    why = escaped(prose(finding.why), _LONGEST)
    rule: dict[str, Any] = {
        "id": check,
        "name": "".join(part.capitalize() for part in re.split(r"\W+", check)) or "Check",
        "shortDescription": {"text": _text(finding.title)},
        "fullDescription": {"text": _text(finding.why or finding.title)},
        "help": {
            "text": "\n".join(said) or _text(finding.title),
            "markdown": "\n\n".join(filter(None, (why, numbered(steps), again))),
        },
        "properties": {"tags": ["model-audit"]},
    }
    if finding.verdict in _LEVELS:
        rule["defaultConfiguration"] = {"level": _LEVELS[finding.verdict]}
    return rule


def _results(record: AuditRecord, found: Sequence[Finding]) -> Iterator[dict[str, Any]]:
    subject, source = identity_of(record.subject), source_of(record)
    seen: Counter[str] = Counter()
    for rule, finding in enumerate(found):
        for place in finding.where or (None,) if finding.verdict in _LEVELS else ():
            own = fingerprint(finding.check, subject, place)
            seen[own] += 1
            yield {
                "ruleId": clean_text(finding.check, 80),
                "ruleIndex": rule,
                "level": _LEVELS[finding.verdict],
                **_spot(finding, place, source),
                # GitHub tells alerts apart by the first, which counts what is named twice.
                "partialFingerprints": {
                    "primaryLocationLineHash": f"{own[:16]}:{seen[own]}",
                    "finding/v1": own,
                },
                "suppressions": list(_suppressions(finding, place, record.waivers)),
            }


def _spot(finding: Finding, place: Place | None, source: str) -> dict[str, Any]:
    """Return what a result says, and where: in the file that can be mended, and in the model."""
    said = [f"{finding.title}."]
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": source, "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 1},
        }
    }
    if place is not None:
        name = clean_text(place.name)
        said.append(f"{place.kind.capitalize()} {name}{': ' if place.note else ''}{place.note}.")
        location["logicalLocations"] = [
            {"name": name, "fullyQualifiedName": name, "kind": place.kind}
        ]
    return {
        "message": {"text": _text(" ".join((*said, finding.summary)))},
        "locations": [location],
    }


def _suppressions(
    finding: Finding, place: Place | None, waivers: Sequence[Waiver]
) -> Iterator[Mapping[str, str]]:
    """Return the waiver of one place; other places of the finding may count."""
    name = "" if place is None else place.name
    covers = (
        waiver
        for waiver in waivers
        if waiver.check == finding.check
        and waiver.state in (WaiverState.HOLDS, WaiverState.ENDING)
        and name in waiver.places
    )
    waiver = next(covers, None)
    reason = finding.waived
    if waiver is not None:
        reason = f"{waiver.reason}{f' (until {waiver.until})' if waiver.until else ''}"
    if reason is not None:
        yield {"kind": "external", "status": "accepted", "justification": _text(reason)}


def _invocation(record: AuditRecord, found: Sequence[Finding]) -> dict[str, Any]:
    notes = [
        _note("error", f"{finding.title}: {finding.summary}", clean_text(finding.check, 80), place)
        for place, finding in enumerate(found)
        if finding.verdict in (Verdict.ERROR, Verdict.INCOMPLETE)
    ]
    if record.error is not None:
        notes.append(_note("error", f"The audit did not run to its end. {record.error}"))
    notes += [_note("warning", text) for text in record.warnings[:100]]
    started = began_at(record)
    seconds = record.volatile.seconds
    made: dict[str, Any] = {
        "executionSuccessful": record.verdict is not Verdict.INCOMPLETE and record.error is None,
        "startTimeUtc": _moment(started),
        "toolExecutionNotifications": notes,
    }
    if 0 <= seconds < _FINITE and started.year < 9000:
        made["endTimeUtc"] = _moment(started + timedelta(seconds=seconds))
    if record.command:
        made["commandLine"] = clean_text(record.command, _LONGEST)
    return made


def _note(level: str, text: str, check: str = "", rule: int = 0) -> dict[str, Any]:
    note: dict[str, Any] = {"level": level, "message": {"text": _text(text)}}
    return {**note, "associatedRule": {"id": check, "index": rule}} if check else note


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
