"""What is kept of an audit beside its record, so that few records need to be read whole."""

import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Protocol

from auditor.core.finding import Metric
from auditor.core.fingerprint import SubjectLike, identity_of
from auditor.core.glance import glance_at
from auditor.core.moments import moment_of
from auditor.core.past import Point
from auditor.core.record import AuditRecord
from auditor.core.verdict import Verdict
from auditor.history.history import Entry, Measures

DIGITS = 12
"""Digits of an audit's id: of a hundred thousand audits any two agree once in 50,000 histories."""

_NEVER = datetime.min.replace(tzinfo=UTC)


class Run(Protocol):
    """When, where and by which process an audit was begun."""

    @property
    def started(self) -> str: ...  # noqa: D102
    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def process(self) -> int: ...  # noqa: D102


def audit_id(subject: SubjectLike, run: Run) -> str:
    """Return the id of an audit: the same when it is judged again, or gone on with."""
    known = identity_of(subject)
    whole = [known.name, known.factory, known.task, run.started, run.host, run.process]
    return hashlib.sha256(json.dumps(whole).encode("ascii")).hexdigest()[:DIGITS]


def id_of(record: AuditRecord) -> str:
    """Return the id of a record's audit."""
    return audit_id(record.subject, record.volatile)


def entry_of(record: AuditRecord) -> Entry:
    """Return what the history tells of an audit without reading its record."""
    live = [finding.verdict for finding in record.findings if finding.waived is None]
    spoilt = {Verdict.FAIL, Verdict.ERROR, Verdict.INCOMPLETE}
    return Entry(
        id=id_of(record),
        glance=glance_at(record),
        clean=record.error is None and spoilt.isdisjoint(live),
        by_hand=False,
        only=_only(record),
    )


def measures_of(record: AuditRecord) -> Measures:
    """Return what an audit measured; of metrics of one name in a check, the first."""
    measures: Measures = {}
    for finding in record.findings:
        for metric in finding.metrics:
            if (point := point_of(metric)) is not None:
                measures.setdefault((finding.check, metric.name), point)
    return measures


def point_of(metric: Metric) -> Point | None:
    """Return what a metric adds to its trend; None where it was not measured."""
    if metric.value is None or math.isnan(metric.value):
        return None
    return Point(metric.value, metric.low, metric.high)


def seconds(started: str) -> float:
    """Return when an audit began, to put audits in order; what is no date comes first."""
    try:
        return moment_of(started, _NEVER).timestamp()
    except (OverflowError, ValueError):  # at the very ends of the calendar
        return _NEVER.timestamp()


def _only(record: AuditRecord) -> tuple[str, ...] | None:
    audit = record.spec.get("audit")
    checks = audit.get("checks") if isinstance(audit, dict) else None
    only = checks.get("only") if isinstance(checks, dict) else None
    return tuple(sorted(map(str, only))) if isinstance(only, list) else None
