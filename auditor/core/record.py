"""The record: the one document that every report is drawn from."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from auditor.core.cleaned import cleaned
from auditor.core.comparison import Comparison
from auditor.core.errors import InputError
from auditor.core.finding import Finding
from auditor.core.layer import LayerFacts
from auditor.core.past import Past
from auditor.core.scores import ExampleScores
from auditor.core.secrets import told_spec
from auditor.core.subject import SubjectFacts
from auditor.core.text import clean_text
from auditor.core.values import Number
from auditor.core.verdict import Verdict
from auditor.core.waiver import Waiver

SCHEMA_VERSION = 1
RECORD = "record.json"
"""The record's file in the folder of an audit's reports."""
LARGEST = 1 << 26
"""Bytes of the largest record that is read from a file."""


@dataclass(frozen=True)
class Section:
    """One of the five sections of the report."""

    id: str
    title: str
    verdict: Verdict
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Remedy:
    """Something to do about a cause and, where it was tried on copies, what it did.

    `measure` says what `before` and `after` are, or why it could not be tried; `helped` whether
    copies became better beyond doubt.
    """

    text: str
    tried: bool = False
    before: Number | None = None
    after: Number | None = None
    measure: str = ""
    helped: bool = False


@dataclass(frozen=True)
class Cause:
    """A likely root cause: the findings that it explains, by check id, and what to do."""

    id: str
    title: str
    confidence: str
    findings: tuple[str, ...]
    remedies: tuple[Remedy, ...] = ()


@dataclass(frozen=True)
class PlanLine:
    """One piece of work: a sweep or an experiment, its passes, and the requests it answers.

    With `at_most` the passes are a bound.
    """

    work: str
    requests: tuple[str, ...]
    forwards: int
    backwards: int
    at_most: bool = False


@dataclass(frozen=True)
class Volatile:
    """Whatever differs from run to run of the same audit on the same machine."""

    started: str
    seconds: Number
    host: str
    process: int
    spent: dict[str, Number]
    """Seconds by piece of work."""
    past: Past | None = None
    """The last audits of the subject, where a history is kept."""


@dataclass(frozen=True)
class AuditRecord:
    """An audit, whole. Equal spec, seed and device give an equal record but for `volatile`.

    `command` is what started it, as it was typed: a line for the shell or, of a live model, of
    Python, less the choice of checks, formats and folder; empty where it is not known.
    """

    schema_version: int
    verdict: Verdict
    sections: tuple[Section, ...]
    causes: tuple[Cause, ...]
    subject: SubjectFacts
    spec: dict[str, Any]
    environment: dict[str, str]
    plan: tuple[PlanLine, ...]
    warnings: tuple[str, ...]
    error: str | None
    volatile: Volatile
    command: str = ""
    layers: tuple[LayerFacts, ...] = ()
    """From the input to the output; empty in records of earlier versions."""
    scores: ExampleScores | None = None
    """On validation data, for comparison by a later audit; None where no metric applies."""
    waivers: tuple[Waiver, ...] = ()
    """What became of each waiver of the spec, on the day of the audit."""
    comparison: Comparison | None = None
    """With the earlier audit that the spec names (`audit.baseline`)."""
    spec_sha256: str = ""
    """Of the spec as canonical JSON (`spec_digest`); empty in records of earlier versions."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return the findings of all sections, in report order."""
        return tuple(finding for section in self.sections for finding in section.findings)


@dataclass(frozen=True)
class _Versioned:
    schema_version: int


_VERSION: TypeAdapter[_Versioned] = TypeAdapter(_Versioned)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ADAPTER: TypeAdapter[AuditRecord] = TypeAdapter(AuditRecord)


Recorded = TypeVar("Recorded", bound=AuditRecord)


def safe(record: Recorded) -> Recorded:
    """Return a record that is safe to show: its texts cleaned, its spec without secrets."""
    return cleaned(replace(record, spec=told_spec(record.spec)))


def record_to_json(record: AuditRecord) -> str:
    """Return the record as JSON text, the same for equal records.

    Lone surrogates, which UTF-8 can't hold, are made visible as \\uXXXX.
    """
    plain = _ADAPTER.dump_python(record, mode="json")
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text) + "\n"


def spec_digest(spec: dict[str, Any]) -> str:
    """Return the SHA-256 of a spec: of its JSON in ASCII, keys sorted, without spaces.

    Where reports go, `output`, is left out: it changes no answer.
    """
    asked = {key: value for key, value in spec.items() if key != "output"}
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema of `record.json`."""
    return _ADAPTER.json_schema(mode="serialization")


def read_record(path: Path) -> AuditRecord:
    """Return the record in a JSON file.

    Raises:
        InputError: the file can't be read or is no record of this schema version.
    """
    return _whole(parsed(path, _ADAPTER), clean_text(path))


Read = TypeVar("Read")


def parsed(path: Path, adapter: TypeAdapter[Read]) -> Read:
    """Return what `adapter` makes of the record in a JSON file.

    Raises:
        InputError: the file can't be read or is no record of this schema version.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{clean_text(path)}: can't be read: no regular file")
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{clean_text(path)}: a record has at most {LARGEST:,} bytes")
        text = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"{clean_text(path)}: can't be read: {reason}") from error
    return _checked(text, clean_text(path), adapter)


def record_from_json(text: bytes, origin: str = "the text") -> AuditRecord:
    """Return the record in JSON text; `origin` names its source in errors.

    Raises:
        InputError: it is no record of this schema version.
    """
    return _whole(_checked(text, origin, _ADAPTER), origin)


def _whole(record: AuditRecord, origin: str) -> AuditRecord:
    """Return a record that was read, without the secrets that earlier versions kept.

    Raises:
        InputError: a check stands in it twice, so that what is said of it may not be of it.
    """
    counts = Counter(finding.check for finding in record.findings)
    twice = next((check for check, count in counts.items() if count > 1), None)
    if twice is not None:
        raise InputError(
            f"{origin}: not an audit record: two findings of the check {clean_text(twice, 80)!r}"
        )
    return replace(record, spec=told_spec(record.spec))


def _checked(text: bytes, origin: str, adapter: TypeAdapter[Read]) -> Read:
    try:
        version = _VERSION.validate_json(text).schema_version
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{origin}: a record of schema version {version}; "
                f"this program reads version {SCHEMA_VERSION}"
            )
        return cleaned(adapter.validate_json(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = clean_text(".".join(map(str, first["loc"])) or "the file", 80)
        raise InputError(
            f"{origin}: not an audit record: {place}: {clean_text(first['msg'])}"
        ) from error
    except ValueError as error:
        raise InputError(f"{origin}: not an audit record: {error}") from error
