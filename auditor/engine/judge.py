"""From answers to findings to the record. Pure, and without torch."""

import datetime
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from auditor.core.advice import one_line
from auditor.core.check import SECTIONS, Check, Limits, Seen
from auditor.core.finding import Finding, Judgement
from auditor.core.layer import LayerFacts
from auditor.core.process_state import left_changed, process_kept
from auditor.core.record import (
    SCHEMA_VERSION,
    AuditRecord,
    Cause,
    Section,
    Volatile,
    safe,
    spec_digest,
)
from auditor.core.request import Failed, Request, Unavailable
from auditor.core.scores import ExampleScores
from auditor.core.spec import AuditSpec
from auditor.core.subject import SubjectFacts
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict, worst
from auditor.engine.plan import Plan, requests_of
from auditor.engine.waivers import outcomes, pardon

LimitsFor = Callable[[Check], Limits]


def findings_of(
    checks: Iterable[Check],
    limits_for: LimitsFor,
    answers: Mapping[Request[Any], Any],
    unavailable: Mapping[Request[Any], Unavailable],
    spec: AuditSpec,
    facts: SubjectFacts,
    today: datetime.date,
) -> tuple[tuple[Check, Finding], ...]:
    """Return what each check finds in the answers of an audit; waivers are those of `today`."""
    known = {**answers, **unavailable}
    return tuple((c, _finding(c, limits_for(c), known, spec, facts, today)) for c in checks)


def judged(
    found: Sequence[tuple[Check, Finding]],
    causes: tuple[Cause, ...],
    plan: Plan,
    spec: AuditSpec,
    facts: SubjectFacts,
    environment: dict[str, str],
    volatile: Volatile,
    today: datetime.date,
    command: str = "",
    layers: tuple[LayerFacts, ...] = (),
    error: str | None = None,
    scores: ExampleScores | None = None,
) -> AuditRecord:
    """Return the record of an audit from what its checks found."""
    by_section: dict[str, list[Finding]] = {section: [] for section in SECTIONS}
    for check, finding in found:
        by_section[check.section].append(finding)
    sections = tuple(
        Section(
            section,
            title,
            worst(f.verdict for f in by_section[section] if f.waived is None),
            tuple(by_section[section]),
        )
        for section, title in SECTIONS.items()
    )
    plain = spec.model_dump(mode="json")
    waivers = outcomes(spec.audit.waive, [finding for _, finding in found], today)
    record = AuditRecord(
        schema_version=SCHEMA_VERSION,
        verdict=Verdict.INCOMPLETE if error else worst(s.verdict for s in sections),
        sections=sections,
        causes=causes,
        subject=facts,
        spec=plain,
        spec_sha256=spec_digest(plain),
        environment=environment,
        plan=plan.lines(),
        warnings=tuple(waiver.warning for waiver in waivers if waiver.urgent),
        error=error,
        volatile=volatile,
        command=command,
        layers=layers,
        scores=scores,
        waivers=waivers,
    )
    return safe(record)


def _finding(
    check: Check,
    limits: Limits,
    known: Mapping[Request[Any], Any],
    spec: AuditSpec,
    facts: SubjectFacts,
    today: datetime.date,
) -> Finding:
    settled = requests_of(check, spec.audit.profile, facts)
    lost = Failed("no answer was kept")
    answers = {declared: known.get(request, lost) for declared, request in settled.items()}
    judgement = _judgement(check, limits, answers, spec.audit.seed)
    pardoned = pardon(check.id, judgement, spec.audit.waive, today)
    passed = judgement.verdict in (Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE)
    return Finding(
        check=check.id,
        verdict=judgement.verdict,
        title=check.title if passed or judgement.verdict is Verdict.ERROR else check.failure_title,
        summary=judgement.summary,
        metrics=judgement.metrics,
        where=judgement.where,
        advice=tuple(map(one_line, judgement.advice)),
        figures=judgement.figures,
        why=check.heading("Why it matters"),
        source=check.heading("Source"),
        waived=pardoned.waived,
        waiver_note=pardoned.note,
    )


def _judgement(
    check: Check, limits: Limits, answers: Mapping[Request[Any], Any], seed: int
) -> Judgement:
    needed = [answers[request] for request in check.needs]
    for answer in needed:
        if isinstance(answer, Failed):
            return Judgement(Verdict.ERROR, f"Could not be measured: {clean_text(answer.reason)}.")
    for answer in needed:
        if isinstance(answer, Unavailable):
            return Judgement(Verdict.NOT_APPLICABLE, f"Not looked at: {answer.reason}.")
    digest = hashlib.sha256(f"{seed}:{check.id}".encode()).digest()
    try:
        with process_kept() as changed:
            judgement = check(Seen(answers, int.from_bytes(digest[:8])), limits)
    except Exception as error:  # noqa: BLE001 - one broken check must not take the others along
        said = clean_text(f"{type(error).__name__}: {error}")
        return Judgement(Verdict.ERROR, f"The check itself broke: {said}.")
    if changed:
        return Judgement(Verdict.ERROR, f"The check itself {left_changed(changed)}.")
    lost = next((a for r in check.wants if isinstance(a := answers[r], Failed)), None)
    if lost is not None and judgement.verdict not in (Verdict.WARN, Verdict.FAIL):
        reason = f"Could not be measured in full: {clean_text(lost.reason)}. {judgement.summary}"
        return replace(judgement, verdict=Verdict.ERROR, summary=reason)
    return judgement
