"""Records of many models, made by varying the rich one."""

from dataclasses import replace
from pathlib import Path

from report_records import rich_record

from auditor.core.finding import Finding, Place
from auditor.core.glance import read_glance
from auditor.core.record import AuditRecord, Section, record_to_json
from auditor.core.verdict import Verdict, worst
from auditor.report.fleet.models import Audit


def small_record(
    name: str, day: int, factory: str = "model:build", sha256: str = "ab12cd34" * 8, **verdicts: str
) -> AuditRecord:
    """Return the record of an audit on a day of January in which checks came to these verdicts."""
    rich = rich_record()
    findings = tuple(
        Finding(check, Verdict(verdict), f"About {check}", "Seen.", where=(Place("layer", "a"),))
        for check, verdict in verdicts.items()
    )
    verdict = worst(finding.verdict for finding in findings)
    file = rich.subject.checkpoint
    assert file is not None
    return replace(
        rich,
        verdict=verdict,
        sections=(Section("internals", "Inside", verdict, findings),),
        causes=(),
        subject=replace(
            rich.subject, name=name, factory=factory, checkpoint=replace(file, sha256=sha256)
        ),
        volatile=replace(rich.volatile, started=f"2026-01-{day:02d}T12:00:00+00:00"),
    )


def kept(record: AuditRecord, folder: Path) -> Audit:
    """Write a record into a folder, and return the audit that a glance at it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "record.json"
    path.write_text(record_to_json(record), encoding="utf-8")
    return Audit(path, read_glance(path))
