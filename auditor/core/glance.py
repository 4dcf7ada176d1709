"""A glance at a record: what tells one audit from another, read in a fraction of the time."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from auditor.core.finding import Finding
from auditor.core.record import AuditRecord, parsed
from auditor.core.verdict import Verdict


@dataclass(frozen=True)
class Spot:
    """A place of a finding, without what was seen there."""

    kind: str
    name: str


@dataclass(frozen=True)
class Outcome:
    """A finding without its measures: the verdict of a check, and where."""

    check: str
    verdict: Verdict
    title: str
    where: tuple[Spot, ...] = ()
    waived: str | None = None


@dataclass(frozen=True)
class SectionGlance:
    """A section and its outcomes."""

    id: str
    title: str
    verdict: Verdict
    findings: tuple[Outcome, ...]


@dataclass(frozen=True)
class FileGlance:
    """The checkpoint's file."""

    path: str
    sha256: str


@dataclass(frozen=True)
class SubjectGlance:
    """What was audited."""

    name: str
    factory: str
    task: str | None
    checkpoint: FileGlance | None


@dataclass(frozen=True)
class RunGlance:
    """When and where the audit ran."""

    started: str
    host: str
    process: int


@dataclass(frozen=True)
class Glance:
    """Part of an `AuditRecord`; its fields have the record's names."""

    schema_version: int
    verdict: Verdict
    sections: tuple[SectionGlance, ...]
    subject: SubjectGlance
    error: str | None
    volatile: RunGlance

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Return the outcomes of all sections, in report order."""
        return tuple(outcome for section in self.sections for outcome in section.findings)


_ADAPTER: TypeAdapter[Glance] = TypeAdapter(Glance)


def outcome_of(finding: Finding) -> Outcome:
    """Return a finding without its measures."""
    where = tuple(Spot(place.kind, place.name) for place in finding.where)
    return Outcome(finding.check, finding.verdict, finding.title, where, finding.waived)


def glance_at(record: AuditRecord) -> Glance:
    """Return what a glance shows of a record that is at hand."""
    subject, run, file = record.subject, record.volatile, record.subject.checkpoint
    return Glance(
        schema_version=record.schema_version,
        verdict=record.verdict,
        sections=tuple(
            SectionGlance(one.id, one.title, one.verdict, tuple(map(outcome_of, one.findings)))
            for one in record.sections
        ),
        subject=SubjectGlance(
            name=subject.name,
            factory=subject.factory,
            task=subject.task,
            checkpoint=None if file is None else FileGlance(file.path, file.sha256),
        ),
        error=record.error,
        volatile=RunGlance(run.started, run.host, run.process),
    )


def read_glance(path: Path) -> Glance:
    """Return what a glance at a JSON file shows of the record in it.

    Raises:
        InputError: the file can't be read or is no record of this schema version.
    """
    return parsed(path, _ADAPTER)
