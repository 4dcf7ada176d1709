"""What follows an audit once it is over. Nothing here costs the audit: a problem is a line."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from auditor.core.errors import InputError
from auditor.core.record import AuditRecord
from auditor.core.spec import AuditSpec
from auditor.core.text import clean_text
from auditor.history.baseline import history_of
from auditor.history.trends import past_of

R = TypeVar("R", bound=AuditRecord)


def with_past(record: R, spec: AuditSpec) -> R:
    """Return the record with what earlier audits measured, as far as the history tells."""
    with suppress(InputError):  # which `follow_up` tells of
        history = history_of(spec)
        if spec.history.keep and history.exists:
            past = past_of(record, history)
            return replace(record, volatile=replace(record.volatile, past=past))
    return record


def follow_up(record: AuditRecord, spec: AuditSpec, folder: Path) -> tuple[str, ...]:
    """Do what follows an audit whose reports are in `folder`; return what went wrong, in lines."""
    problems = []
    for what, step in STEPS.items():
        try:
            step(record, spec, folder)
        except (InputError, OSError) as error:
            problems.append(f"{what}: {clean_text(error, 600)}")
    return tuple(problems)


def _keep(record: AuditRecord, spec: AuditSpec, folder: Path) -> None:
    if spec.history.keep:
        history_of(spec).add(record)


STEPS: dict[str, Callable[[AuditRecord, AuditSpec, Path], None]] = {
    "not kept in the history": _keep,
}
"""In their order; each with what is said where it fails."""
