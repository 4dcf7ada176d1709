"""From what an audit saw to its record, step by step: checks, findings, remedies, the record."""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from auditor.checks import find, limits_for, select, validate_limits
from auditor.core.check import Check, Limits
from auditor.core.compare import compared
from auditor.core.errors import InputError
from auditor.core.finding import Finding
from auditor.core.record import AuditRecord, Volatile, record_to_json
from auditor.core.request import Request
from auditor.core.spec import AuditSpec
from auditor.core.subject import SubjectFacts
from auditor.core.text import clean_text
from auditor.core.whole import write_whole
from auditor.diagnosis import diagnosed, trials
from auditor.engine.judge import findings_of, judged
from auditor.engine.plan import Plan, plan_of
from auditor.engine.supervisor import Answers, Observed
from auditor.history.baseline import Baseline
from auditor.history.place import history_file
from auditor.history.sqlite import SqliteHistory
from auditor.observations.example_scores import scores_seen
from auditor.observations.layer_map import layers_seen

Found = tuple[tuple[Check, Finding], ...]
"""Checks with what they found."""


@dataclass(frozen=True, repr=False)
class Record(AuditRecord):
    """An audit's record that can write and show itself."""

    def to_json(self, path: str | os.PathLike[str], *, shared: bool = False) -> None:
        """Write `record.json`. Nobody else can read it, unless it is `shared`."""
        write_whole(Path(path), record_to_json(self).encode(), shared=shared)

    def to_html(self, path: str | os.PathLike[str], *, shared: bool = False) -> None:
        """Write the report as one self-contained HTML file; see `to_json`."""
        from auditor.report.html import render_html

        write_whole(Path(path), render_html(self).encode(), shared=shared)

    def to_pdf(self, path: str | os.PathLike[str], *, shared: bool = False) -> None:
        """Write the report as a PDF file; see `to_json`."""
        from auditor.report.pdf import render_pdf

        write_whole(Path(path), render_pdf(self), shared=shared)

    def keep(self, history: str | os.PathLike[str] | None = None) -> str:
        """Add the audit to the history, yours unless a file is named, and return its id there."""
        named = None if history is None else os.fspath(history)
        return SqliteHistory(history_file(named)).add(self)

    def __repr__(self) -> str:
        """Tell in a line what came out, since a whole record is a megabyte."""
        from auditor.report.answer import headline
        from auditor.report.wording import WORDS

        name = clean_text(self.subject.name, 60) or "unnamed"
        return f"<audit of {name}: {WORDS[self.verdict].lower()}; {headline(self)}>"

    def _repr_html_(self) -> str:
        from auditor.report.notebook import render_notebook

        return render_notebook(self)

    def _repr_markdown_(self) -> str:
        from auditor.report.markdown import render_markdown

        return render_markdown(self)


def held_against(record: Record, baseline: Baseline) -> Record:
    """Return the record with how it compares with an earlier one, where there is one."""
    if baseline.named is None:
        return record
    earlier = baseline.named
    return replace(record, comparison=compared(earlier.record, record, earlier.source))


def chosen(spec: AuditSpec) -> tuple[Check, ...]:
    """Return the checks that a spec asks for.

    Raises:
        InputError: it names a check or a limit that does not exist.
    """
    validate_limits(spec.audit.limits)
    for waiver in spec.audit.waive:
        find(waiver.check)
    checks = select(spec.audit.checks.only, spec.audit.checks.skip)
    if not checks:
        raise InputError("audit.checks.only, audit.checks.skip: they leave no check to run")
    return checks


def findings(
    spec: AuditSpec,
    checks: Sequence[Check],
    facts: SubjectFacts,
    plan: Plan,
    answers: Answers,
    today: datetime.date,
) -> Found:
    """Return what each check finds once the plan of the checks is done; no remedy changes it.

    `today` tells which waivers have expired.
    """

    def limits(check: Check) -> Limits:
        return limits_for(check, spec.audit.limits.get(check.id, {}))

    return findings_of(checks, limits, answers, plan.unavailable, spec, facts, today)


def remedies_for(
    spec: AuditSpec, found: Found, facts: SubjectFacts, plan: Plan, answers: Answers
) -> Plan:
    """Return the next work of trying what may mend the causes of what was found.

    It takes rounds: what is tried next depends on what the last trials showed. There is none where
    there is nothing left to try.
    """
    if not spec.audit.remedies:
        return Plan((), {})
    known = {**answers, **plan.unavailable}
    made = Plan((), {})
    while wanted := trials((finding for _, finding in found), known, spec.audit.seed):
        more = plan_of(wanted, facts)
        made = made.then(more)
        if more.work:
            break
        known |= more.unavailable
    return made


def recorded(spec: AuditSpec, found: Found, seen: Observed, today: datetime.date) -> Record:
    """Return the record of what was found and seen; `today` is the day of the findings."""

    def settled(request: Request[Any]) -> Request[Any]:
        return request.at(spec.audit.profile, seen.facts.has)

    record = judged(
        found,
        diagnosed(
            (finding for _, finding in found),
            {**seen.answers, **seen.plan.unavailable},
            spec.audit.seed,
        ),
        seen.plan,
        spec,
        seen.facts,
        seen.environment,
        Volatile(
            started=seen.started,
            seconds=round(seen.seconds, 3),
            host=seen.host,
            process=seen.process,
            spent={name: round(seconds, 3) for name, seconds in seen.spent.items()},
        ),
        today,
        seen.command,
        layers_seen(seen.answers, settled),
        scores=scores_seen(seen.answers, settled),
    )
    return Record(**{field.name: getattr(record, field.name) for field in fields(record)})
