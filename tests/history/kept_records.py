"""Records of audits made by hand, small enough to keep many of."""

from dataclasses import replace
from typing import Any

from auditor.core.finding import Finding, Limit, Metric, Place
from auditor.core.record import AuditRecord, Section, Volatile
from auditor.core.subject import CheckpointFacts, SubjectFacts
from auditor.core.verdict import Verdict, worst


def found(check: str, verdict: str, value: float | None = 0.5, **other: Any) -> Finding:
    metric = Metric("dead units", value, "share", 0.4, 0.6, Limit(0.2, 0.4))
    where = (Place("layer", "a"),) if verdict in {"warn", "fail"} else ()
    known = Finding(check, Verdict(verdict), f"About {check}", "Seen.", (metric,), where)
    return replace(known, **other)


def audited(
    day: int = 1,
    *findings: Finding,
    name: str = "digits",
    factory: str = "model:build",
    task: Any = "multiclass",
    only: list[str] | None = None,
    process: int = 1,
    **other: Any,
) -> AuditRecord:
    """Return the record of an audit on a day of January."""
    findings = findings or (found("dead-units", "pass"),)
    verdict = worst(one.verdict for one in findings if one.waived is None)
    checkpoint = CheckpointFacts("weights.pt", "torch state dict", f"{day:064x}", 1, 1)
    subject = SubjectFacts(
        name, factory, checkpoint, 1, 1, "cpu", task, "", 10, {}, frozenset(), {}
    )
    record = AuditRecord(
        schema_version=1,
        verdict=verdict,
        sections=(Section("internals", "Inside", verdict, findings),),
        causes=(),
        subject=subject,
        spec={"audit": {"profile": "standard", "checks": {"only": only, "skip": []}}},
        environment={"auditor": "1"},
        plan=(),
        warnings=(),
        error=None,
        volatile=Volatile(f"2026-01-{day:02}T12:00:00+00:00", 1.0, "host", process, {}),
    )
    return replace(record, **other)
