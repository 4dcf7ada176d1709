"""What a page shows of the audit itself: subject, plan, environment, spec."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from auditor.core.record import AuditRecord
from auditor.core.subject import SplitFacts, SubjectFacts, TargetFacts
from auditor.core.text import bounded, clean_text, counted, listed
from auditor.core.waiver import Waiver
from auditor.report.setup import setup_code
from auditor.report.tables import TableView, table_of
from auditor.report.wording import date, number, prose, seconds, size

Row = tuple[str, str]
LONGEST_SPEC = 400
"""Lines shown of the spec."""
MOST_WAIVERS = 200


@dataclass(frozen=True)
class AuditView:
    """The page's last part."""

    subject: tuple[Row, ...]
    extras: tuple[Row, ...]
    data: TableView | None
    plan: TableView
    run: tuple[Row, ...]
    environment: tuple[Row, ...]
    spec: str
    setup: str
    """Code that makes what code to paste takes for granted; empty where it can't be written."""
    warnings: tuple[str, ...]
    waivers: tuple["WaiverView", ...]


@dataclass(frozen=True)
class WaiverView:
    """A waiver of the spec; `urgent` where somebody has to do something about it."""

    check: str
    where: str
    reason: str
    until: str
    said: str
    urgent: bool


def view_audit(record: AuditRecord) -> AuditView:
    """Return what a page shows of the audit itself."""
    checkpoint = record.subject.checkpoint
    extras = checkpoint.extras[:40] if checkpoint else ()
    return AuditView(
        subject=_subject(record.subject),
        extras=tuple((clean_text(name, 80), prose(value, 200)) for name, value in extras),
        data=_data(record.subject),
        plan=_plan(record),
        run=(
            ("Started", date(record.volatile.started)),
            ("Took", seconds(record.volatile.seconds)),
            ("Record", f"schema version {record.schema_version}"),
        ),
        environment=tuple(
            (clean_text(name, 60), prose(value, 200)) for name, value in record.environment.items()
        ),
        spec=_spec(record.spec),
        setup=setup_code(record),
        warnings=tuple(prose(text, 600) for text in _warnings(record)),
        waivers=tuple(map(_waiver, record.waivers[:MOST_WAIVERS])),
    )


def _warnings(record: AuditRecord) -> Iterator[str]:
    """Yield the warnings, without those that the list of waivers repeats."""
    told = {waiver.warning for waiver in record.waivers}
    yield from record.subject.warnings
    yield from (text for text in record.warnings if text not in told)


def _waiver(waiver: Waiver) -> WaiverView:
    return WaiverView(
        check=clean_text(waiver.check, 80),
        where=clean_text(waiver.where, 120),
        reason=prose(waiver.reason, 400),
        until=f"until {clean_text(waiver.until, 40)}" if waiver.until else "no end",
        said=prose(waiver.said, 200),
        urgent=waiver.urgent,
    )


def data_line(subject: SubjectFacts) -> str:
    """Return in a line which data was looked at."""
    parts = [
        f"{split}: {counted(facts.examples, 'example')}"
        + ("" if facts.complete else f" ({_batches(facts)})")
        for split, facts in subject.data.items()
    ]
    return "; ".join(parts) or "none"


def _batches(facts: SplitFacts) -> str:
    """Return how many batches were read, of how many where that is known to be more."""
    if facts.complete:
        return counted(facts.batches, "batch", "batches")
    if facts.batches > facts.batches_read:
        return f"first {facts.batches_read:,} of {counted(facts.batches, 'batch', 'batches')}"
    return f"first {counted(facts.batches_read, 'batch', 'batches')}"


def _subject(subject: SubjectFacts) -> tuple[Row, ...]:
    rows: list[Row] = [("Name", clean_text(subject.name, 120))]
    if subject.checkpoint:
        file = subject.checkpoint
        rows += [
            ("Checkpoint", clean_text(file.path)),
            ("Format", f"{clean_text(file.format, 60)}, {size(file.bytes)}"),
            ("SHA-256", clean_text(file.sha256, 80)),
            ("Tensors", f"{file.tensors:,}"),
        ]
        if file.key:
            rows.append(("Weights under", clean_text(file.key, 80)))
        if file.pickle_ran:
            rows.append(("Pickle", "run, as the spec or a flag allowed by its hash"))
        if file.classes:
            rows.append(("Classes asked for", f"{listed(list(file.classes), 8)}; none was made"))
        if file.removed_prefix:
            rows.append(("Prefix taken off names", clean_text(file.removed_prefix, 80)))
    rows += [
        ("Model factory", clean_text(subject.factory) or "none"),
        ("Parameters", f"{subject.parameters:,} ({subject.trainable:,} trainable)"),
        ("Outputs", "not known" if subject.outputs is None else f"{subject.outputs:,}"),
        ("Task", (subject.task or "not known").replace("_", " ")),
        ("Loss", clean_text(subject.loss, 120) or "none"),
        ("Device", clean_text(subject.device, 60)),
    ]
    rows += [
        (f"No {capability}", prose(reason, 300))
        for capability, reason in sorted(subject.lacks.items())
    ]
    return tuple(rows)


def _data(subject: SubjectFacts) -> TableView | None:
    if not subject.data:
        return None
    rows: list[tuple[str, ...]] = []
    splits = list(subject.data.values())
    for name, tell in _SPLIT_ROWS.items():
        rows.append((name, *(tell(facts) for facts in splits)))
    return table_of(("", *subject.data), rows)


def _targets(targets: TargetFacts) -> str:
    if targets.classes:
        fewest, most = min(targets.counts, default=0), max(targets.counts, default=0)
        return (
            f"{clean_text(targets.kind, 40)}: {counted(len(targets.classes), 'class', 'classes')}, "
            f"{fewest:,} to {most:,} each"
        )
    if targets.mean:
        return f"{clean_text(targets.kind, 40)}: mean {', '.join(map(number, targets.mean[:4]))}"
    return clean_text(targets.kind, 40)


_SPLIT_ROWS: Mapping[str, Callable[[SplitFacts], str]] = {
    "Examples read": lambda s: f"{s.examples:,}{' (all)' if s.complete else ' (not all)'}",
    "Batches": lambda s: f"{_batches(s)} of {counted(s.batch_size, 'example')}",
    "Inputs": lambda s: prose("; ".join(s.input_shapes), 200),
    "Targets": lambda s: f"{clean_text(s.target_shape, 80)}; {_targets(s.targets)}",
    "Fingerprint": lambda s: clean_text(s.fingerprint, 80),
}


def _plan(record: AuditRecord) -> TableView:
    spent = record.volatile.spent
    rows = [
        (
            clean_text(line.work, 160),
            bounded(line.forwards, at_most=line.at_most),
            bounded(line.backwards, at_most=line.at_most),
            seconds(spent[line.work]) if line.work in spent else "–",
            counted(len(line.requests), "request"),
        )
        for line in record.plan[:200]
    ]
    table = table_of(("Work", "Forward passes", "Backward passes", "Time", "Answers"), rows)
    return TableView(table.columns, (False, True, True, True, True), table.rows)


def _spec(spec: dict[str, Any]) -> str:
    text = yaml.safe_dump(_plain(spec), sort_keys=False, allow_unicode=True, width=88)
    lines = [clean_text(line, 400) for line in text.splitlines()]
    if len(lines) > LONGEST_SPEC:
        lines = [*lines[:LONGEST_SPEC], f"… {len(lines) - LONGEST_SPEC:,} more lines"]
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean_text(key, 120): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean_text(value)
