"""A record as figures for Prometheus: the text format that its node exporter collects."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator

from auditor.core.moments import began_at
from auditor.core.record import AuditRecord
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict

Sample = tuple[dict[str, str], float]

_WHOLE = tuple(v for v in Verdict if v is not Verdict.ERROR)
_OF_A_CHECK = tuple(v for v in Verdict if v is not Verdict.INCOMPLETE)


def render_prometheus(record: AuditRecord) -> str:
    """Return verdicts, metrics and times as samples, each family with its help and type once.

    A verdict is a set of states: the sample of the one that holds is 1, those of the others 0. What
    was waived is told beside the verdict.
    """
    name = {"name": clean_text(record.subject.name, 120)}
    lines: list[str] = []
    for family, help_, samples in _families(record):
        known: dict[tuple[tuple[str, str], ...], float] = {}
        for labels, value in samples:
            known.setdefault(tuple({**name, **labels}.items()), value)
        if known:
            lines += [f"# HELP {family} {help_}", f"# TYPE {family} gauge"]
            lines += [
                f"{family}{_labels(labels)} {_value(value)}" for labels, value in known.items()
            ]
    return "\n".join(lines) + "\n"


def _families(record: AuditRecord) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    """Yield the name, the help and the samples of each family."""
    findings = record.findings
    counts = Counter(finding.verdict for finding in findings if finding.waived is None)
    yield "audit_verdict", "The audit's verdict, 1 for the one it is.", _states(record.verdict)
    yield (
        "audit_section_verdict",
        "The verdict of a section of the report, 1 for the one it is.",
        (
            ({"section": clean_text(section.id, 60), **labels}, value)
            for section in record.sections
            for labels, value in _states(section.verdict)
        ),
    )
    yield (
        "audit_finding_verdict",
        "The verdict of a check, 1 for the one it is.",
        (
            ({"check": clean_text(finding.check, 120), **labels}, value)
            for finding in findings
            for labels, value in _states(finding.verdict, _OF_A_CHECK)
        ),
    )
    yield (
        "audit_finding_waived",
        "Checks whose finding is waived.",
        (({"check": clean_text(f.check, 120)}, 1.0) for f in findings if f.waived is not None),
    )
    yield (
        "audit_findings",
        "How many findings have a verdict; those waived are left out.",
        (({"verdict": verdict.value}, float(counts[verdict])) for verdict in _OF_A_CHECK),
    )
    for suffix, what, of in (
        ("", "What a check measured, in the unit named", "value"),
        ("_low", "The lower end of a metric's 95 % interval", "low"),
        ("_high", "The upper end of a metric's 95 % interval", "high"),
    ):
        yield f"audit_metric{suffix}", f"{what}.", _metrics(record, of)
    began = began_at(record).timestamp()
    times: list[Sample] = [({}, began)] if began else []
    yield "audit_started_timestamp_seconds", "When the audit began.", times
    yield "audit_duration_seconds", "How long the audit took.", [({}, record.volatile.seconds)]


def _states(holds: Verdict, states: Iterable[Verdict] = _WHOLE) -> list[Sample]:
    return [({"verdict": state.value}, float(state is holds)) for state in states]


def _metrics(record: AuditRecord, of: str) -> Iterator[Sample]:
    for finding in record.findings:
        for metric in finding.metrics:
            value = getattr(metric, of)
            if value is not None:
                labels = {"check": finding.check, "metric": metric.name, "unit": metric.unit}
                yield {key: clean_text(text, 120) for key, text in labels.items()}, value


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _value(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
