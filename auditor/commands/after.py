"""What follows an audit once it is over. Nothing here costs the audit: a problem is a line."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from auditor.core.errors import InputError
from auditor.core.glance import Glance, glance_at
from auditor.core.record import RECORD, AuditRecord
from auditor.core.spec import AuditSpec
from auditor.core.text import clean_text
from auditor.history.baseline import history_of
from auditor.history.entry import entry_of
from auditor.history.history import About
from auditor.history.trends import past_of
from auditor.notify import news_of, tell

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
    problems: list[str] = []
    for what, step in STEPS.items():
        try:
            problems += step(record, spec, folder)
        except (InputError, OSError) as error:
            problems.append(f"{what}: {clean_text(error, 600)}")
    return tuple(problems)


def _tell(record: AuditRecord, spec: AuditSpec, folder: Path) -> Sequence[str]:
    """Tell people what came out, where the spec names some: the one before is in the history."""
    if spec.notify is None:
        return ()
    report = folder / ("report.html" if "html" in spec.output.formats else RECORD)
    news = news_of(_before(record, spec), glance_at(record), str(report.absolute()))
    return tell(spec.notify, news, spec.base, os.environ)


def _before(record: AuditRecord, spec: AuditSpec) -> Glance | None:
    """Return the audit before this one that asked the same checks; None where none is kept."""
    history = history_of(spec)
    if not history.exists:
        return None
    subject, mine = record.subject, entry_of(record)
    about = About(
        subject.name, subject.factory, subject.task, record.volatile.started, besides=mine.id
    )
    return next(
        (
            entry.glance
            for entry in history.entries(about)
            if entry.complete and entry.only == mine.only
        ),
        None,
    )


def _keep(record: AuditRecord, spec: AuditSpec, folder: Path) -> Sequence[str]:
    if spec.history.keep:
        history_of(spec).add(record)
    return ()


STEPS: dict[str, Callable[[AuditRecord, AuditSpec, Path], Sequence[str]]] = {
    "nobody was told": _tell,
    "not kept in the history": _keep,
}
"""In their order; each with what is said where it fails."""
