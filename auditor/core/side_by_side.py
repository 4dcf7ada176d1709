"""Two audits side by side: their metrics, and what they were made with."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from auditor.core.finding import Finding, Metric
from auditor.core.record import AuditRecord
from auditor.core.text import clean_text

LONGEST = 200
"""Characters shown of one setting."""
DIGITS = 12
"""Digits shown of a hash."""


@dataclass(frozen=True)
class MetricPair:
    """A metric in both audits; None where one lacks it."""

    check: str
    name: str
    unit: str
    before: Metric | None
    after: Metric | None

    @property
    def difference(self) -> float | None:
        """Return by how much it grew; None where that has no meaning."""
        values = [one.value if one is not None else None for one in (self.before, self.after)]
        first, second = values
        if first is None or second is None or not (math.isfinite(first) and math.isfinite(second)):
            return None
        return second - first

    @property
    def apart(self) -> bool:
        """Return whether the 95 % intervals do not touch; where there are none, the values."""
        if not self.difference or self.before is None or self.after is None:
            return False
        ends = [_ends(one) for one in (self.before, self.after)]
        return ends[0][1] < ends[1][0] or ends[1][1] < ends[0][0]


@dataclass(frozen=True)
class Difference:
    """Something that the audits were made with; None where one did not say."""

    what: str
    before: str | None
    after: str | None


def metric_pairs(before: AuditRecord, after: AuditRecord) -> tuple[MetricPair, ...]:
    """Return the metrics of both audits in the order of the later report."""
    old, new = ({finding.check: finding for finding in one.findings} for one in (before, after))
    return tuple(
        pair
        for check in dict.fromkeys((*new, *old))
        for pair in _pairs(check, old.get(check), new.get(check))
    )


def settings_apart(before: AuditRecord, after: AuditRecord) -> tuple[Difference, ...]:
    """Return what the specs say otherwise; where reports and history go does not count."""
    return tuple(
        one
        for one in _apart(before.spec, after.spec)
        if not one.what.startswith(("output.", "history.", "audit.baseline"))
    )


def environment_apart(before: AuditRecord, after: AuditRecord) -> tuple[Difference, ...]:
    """Return in what the environments of the audits differ."""
    return _apart(before.environment, after.environment)


def subject_apart(before: AuditRecord, after: AuditRecord) -> tuple[Difference, ...]:
    """Return in what the subjects differ."""
    return _apart(_told(before), _told(after))


def _told(record: AuditRecord) -> dict[str, Any]:
    subject, file = record.subject, record.subject.checkpoint
    told: dict[str, Any] = {
        "name": subject.name,
        "factory": subject.factory,
        "task": subject.task,
        "checkpoint": None if file is None else file.path,
        "checkpoint's SHA-256": None if file is None else file.sha256[:DIGITS],
        "parameters": subject.parameters,
        "trainable parameters": subject.trainable,
        "loss": subject.loss,
        "outputs": subject.outputs,
    }
    for split, facts in subject.data.items():
        told[f"{split} examples read"] = facts.examples
        told[f"{split} fingerprint"] = facts.fingerprint[:DIGITS]
    return told


def _pairs(check: str, old: Finding | None, new: Finding | None) -> Iterator[MetricPair]:
    one, other = (
        {metric.name: metric for metric in reversed(finding.metrics)} if finding else {}
        for finding in (old, new)
    )
    names = [metric.name for finding in (new, old) if finding for metric in finding.metrics]
    for name in dict.fromkeys(names):
        unit = (other.get(name) or one[name]).unit
        yield MetricPair(check, name, unit, one.get(name), other.get(name))


def _ends(metric: Metric) -> tuple[float, float]:
    value = metric.value if metric.value is not None else math.nan
    known = metric.low is not None and metric.high is not None
    return (metric.low, metric.high) if known else (value, value)  # type: ignore[return-value]


def _apart(before: Any, after: Any) -> tuple[Difference, ...]:
    old, new = dict(_flat(before)), dict(_flat(after))
    return tuple(
        Difference(clean_text(name, 120), old.get(name), new.get(name))
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested values by dotted name, as text; what is not set is left out."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    elif value is not None and value != []:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        yield name, clean_text(text, LONGEST)
