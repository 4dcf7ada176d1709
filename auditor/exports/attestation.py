"""An audit as an in-toto statement, ready to be signed; and whether files are those it tells of.

The statement (https://github.com/in-toto/attestation, version 1) says of a checkpoint, by its hash,
what the audit found, and names record and reports by theirs. Equal records give equal statements.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from auditor.core.errors import InputError
from auditor.core.record import RECORD, AuditRecord, record_from_json, spec_digest
from auditor.core.text import clean_text
from auditor.report.sums import SUMS, digest_of, sums

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:auditor:attestation:audit:v1"
"""The type of what is said, and its version."""

LARGEST = 1 << 24
"""Bytes of the largest statement that is read."""


def attested(folder: Path) -> dict[str, Any]:
    """Return the statement on the audit in a folder.

    Raises:
        InputError: there is no record, or it is of no checkpoint.
    """
    data = _record_bytes(folder)
    record = record_from_json(data, clean_text(folder / RECORD))
    file = record.subject.checkpoint
    if file is None:
        raise InputError(
            f"{clean_text(folder)}: the audit of a live model or of fresh weights; an attestation "
            "is about the files of a checkpoint"
        )
    files = file.files or ((Path(file.path).name, file.sha256),)
    known = sums(folder)
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in files],
        "predicateType": PREDICATE,
        "predicate": {
            **_findings(record),
            "record": {"name": RECORD, "digest": {"sha256": hashlib.sha256(data).hexdigest()}},
            "reports": [
                {"name": name, "digest": {"sha256": digest}}
                for name, digest in sorted(known.items())
                if name != RECORD
            ],
            "spec": {"digest": {"sha256": record.spec_sha256}},
            "data": {split: facts.fingerprint for split, facts in record.subject.data.items()},
            "environment": record.environment,
            "times": {"started": record.volatile.started, "seconds": record.volatile.seconds},
        },
    }


def statement_text(statement: Mapping[str, Any]) -> str:
    """Return a statement, or its predicate alone, as text: the same for equal ones."""
    return json.dumps(statement, indent=2, sort_keys=True, allow_nan=False) + "\n"


def problems(folder: Path) -> Iterator[str]:
    """Yield what is not as it was written, of the reports in a folder.

    Raises:
        InputError: there is no record or no list of hashes.
    """
    data = _record_bytes(folder)
    known = sums(folder)
    if RECORD not in known:
        raise InputError(
            f"{clean_text(folder)}: no {SUMS} that names {RECORD}; `audit render` writes it anew"
        )
    yield from _differing(folder, known.items())
    if hashlib.sha256(data).hexdigest() == known[RECORD]:
        record = record_from_json(data, clean_text(folder / RECORD))
        if record.spec_sha256 and record.spec_sha256 != spec_digest(record.spec):
            yield f"{RECORD}: its spec is not the one whose hash it holds"


def problems_of_statement(path: Path) -> Iterator[str]:
    """Yield what a statement tells of the reports beside it that is not so.

    Raises:
        InputError: it is no statement of an audit.
    """
    statement = _statement(path)
    predicate = statement["predicate"]
    folder = path.parent
    named = [predicate["record"], *predicate["reports"]]
    if not any((folder / one["name"]).exists() for one in named):
        yield f"{clean_text(path)}: no report lies beside it; put it into the folder of its audit"
        return
    yield from _differing(folder, [(one["name"], one["digest"]["sha256"]) for one in named])
    digest = digest_of(folder / RECORD)
    if digest == predicate["record"]["digest"]["sha256"] and statement != attested(folder):
        yield f"{clean_text(path.name)}: does not say what {RECORD} says"


def problems_of_checkpoint(files: Iterable[tuple[str, str]], path: Path) -> Iterator[str]:
    """Yield which files of a checkpoint, given by name and hash, are others at `path`."""
    if not path.is_dir():
        digests = [digest for _, digest in files]
        if digest_of(path) not in digests:
            yield f"{clean_text(path)}: not the checkpoint that was audited"
        return
    yield from _differing(path, files)


def subjects_of(target: Path) -> tuple[tuple[str, str], ...]:
    """Return the files of the checkpoint that a statement, or the audit in a folder, is about."""
    statement = attested(target) if target.is_dir() else _statement(target)
    return tuple((one["name"], one["digest"]["sha256"]) for one in statement["subject"])


def _differing(folder: Path, files: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, digest in files:
        shown = clean_text(name, 120)
        safe = not Path(name).is_absolute() and ".." not in Path(name).parts
        found = digest_of(folder / name) if safe else None
        if found is None:
            yield f"{shown}: missing, or can't be read"
        elif found != digest:
            yield f"{shown}: changed since it was written"


def _record_bytes(folder: Path) -> bytes:
    try:
        return (folder / RECORD).read_bytes()
    except OSError as error:
        raise InputError(
            f"{clean_text(folder)}: no {RECORD} of an audit there ({error.strerror})"
        ) from error


def _statement(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            held: Any = json.loads(file.read(LARGEST))
        told = held["predicate"]
        named = [*held["subject"], told["record"], *told["reports"]]
        texts = [part for one in named for part in (one["name"], one["digest"]["sha256"])]
        fits = (held["_type"], held["predicateType"]) == (STATEMENT, PREDICATE)
    except OSError as error:
        raise InputError(f"{clean_text(path)}: can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        fits, texts, held = False, [], {}
    if not fits or not all(isinstance(text, str) for text in texts):
        raise InputError(
            f"{clean_text(path)}: no statement of `audit attest`; of what cosign signed, this is "
            "the payload"
        )
    statement: dict[str, Any] = held
    return statement


def _findings(record: AuditRecord) -> dict[str, Any]:
    return {
        "auditor": {"version": record.environment.get("auditor", "")},
        "verdict": record.verdict.value,
        "sections": {section.id: section.verdict.value for section in record.sections},
        "findings": {
            finding.check: finding.verdict.value + (" (waived)" if finding.waived else "")
            for finding in record.findings
        },
    }
