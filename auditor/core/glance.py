"""A glance at a record: what tells one audit from another, read in a fraction of the time."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from auditor.core.record import parsed
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


def read_glance(path: Path) -> Glance:
    """Return what a glance at a JSON file shows of the record in it.

    Raises:
        InputError: the file can't be read or is no record of this schema version.
    """
    return parsed(path, _ADAPTER)
