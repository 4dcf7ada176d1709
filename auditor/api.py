"""Audits from Python: of live objects, of a spec, and of what an earlier audit kept."""

import datetime
import inspect
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.checks import find, limits_for, select, validate_limits
from auditor.core.check import Check, Limits
from auditor.core.errors import InputError
from auditor.core.finding import Finding
from auditor.core.record import AuditRecord, Volatile, record_to_json
from auditor.core.request import Profile, Request
from auditor.core.spec import AuditSettings, AuditSpec, OptimizerSpec, Task
from auditor.core.spec_file import spec_from
from auditor.core.subject import SubjectFacts
from auditor.core.text import clean_text
from auditor.diagnosis import diagnosed, trials
from auditor.engine.journal import HEAD, Journal
from auditor.engine.judge import findings_of, judged
from auditor.engine.plan import Plan, Work, plan_of, planned
from auditor.engine.supervisor import Answers, Observed, Progress, observed
from auditor.observations.layer_map import layers_seen

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, repr=False)
class Record(AuditRecord):
    """An audit's record that can write and show itself."""

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write `record.json`."""
        Path(path).write_text(record_to_json(self), encoding="utf-8")

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write the report as one self-contained HTML file."""
        from auditor.report.html import render_html

        Path(path).write_text(render_html(self), encoding="utf-8")

    def to_pdf(self, path: str | os.PathLike[str]) -> None:
        """Write the report as a PDF file."""
        from auditor.report.pdf import render_pdf

        Path(path).write_bytes(render_pdf(self))

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


def audit(
    model: "torch.nn.Module",
    *,
    val: Any = None,
    train: Any = None,
    loss: Any = None,
    factory: "Callable[[], torch.nn.Module] | None" = None,
    optimizer: "Mapping[str, Any] | torch.optim.Optimizer | None" = None,
    training: Mapping[str, Any] | None = None,
    batch: Callable[[Any], tuple[Any, Any]] | None = None,
    task: Task | None = None,
    name: str | None = None,
    profile: Profile = "standard",
    device: str | None = None,
    seed: int = 0,
    only: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    limits: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
    remedies: bool = True,
) -> Record:
    """Audit a live model in this process, and leave it exactly as it was.

    Args:
        model: the trained model.
        val: validation batches: a DataLoader or any re-iterable.
        train: training batches; what needs them is not applicable without.
        loss: a name in torch.nn.functional, a function of (outputs, target), or a loss module;
            of several terms, a mapping from each term's name to one of these: they are summed.
        factory: builds the model anew, freshly initialised.
        optimizer: what the model was trained with: `{"name": "SGD", "lr": 0.1, ...}`, or the
            optimizer itself.
        training: what else is known of how it was trained, as in the spec's `training`:
            `{"batch_size": 32, "epochs": 20, "clip_norm": 1.0, "schedule": "none"}`.
        batch: from one of the loaders' batches to (inputs, target), where that is not plain.
        task: what the model does, where loss and batches do not show it.
        name: the title of the report.
        profile: `quick`, `standard` or `deep`: how many batches and steps.
        device: where to run; where the model is now by default.
        seed: of everything random in the audit.
        only: the ids of the checks to run; all by default.
        skip: the ids of checks to leave out.
        limits: new limits by check and metric, such as
            `{"dead-units": {"worst_dead_share": {"warn": 0.05}}}`.
        remedies: whether to try on copies what may mend the causes of what is found.

    Raises:
        InputError: something handed in can't be used.
    """
    from auditor.engine.environment import environment
    from auditor.engine.perform import perform
    from auditor.intake.live import device_of, lent, live_optimizer, live_parts
    from auditor.intake.subject import assemble
    from auditor.intake.wrapped import bare

    command = _call(locals())
    model = bare(model)
    where = device or device_of(model)
    values = {
        "name": name,
        "task": task,
        "training": {**(training or {}), "optimizer": live_optimizer(optimizer)},
        "audit": {
            "profile": profile,
            "seed": seed,
            "device": where,
            "checks": {"only": None if only is None else list(only), "skip": list(skip)},
            "limits": limits or {},
            "remedies": remedies,
        },
    }
    spec = spec_from(values, "audit()", Path())
    checks = chosen(spec)
    began, started = time.monotonic(), datetime.datetime.now(datetime.UTC)
    with lent(model):
        parts = live_parts(model, factory, loss, train, val, batch, name, where, optimizer)
        subject = assemble(parts, spec)
        plan = planned(checks, profile, subject.facts)
        answers: dict[Request[Any], Any] = {}
        spent = {}

        def done(work: Work) -> None:
            start = time.monotonic()
            answers.update(perform(work, subject))
            spent[work.name] = time.monotonic() - start

        for work in plan.work:
            done(work)
        found = findings(spec, checks, subject.facts, plan, answers)
        while (more := remedies_for(spec, found, subject.facts, plan, answers)).work:
            plan = plan.then(more)
            for work in more.work:
                done(work)
        plan = plan.then(more)
    seen = Observed(
        facts=subject.facts,
        environment=environment(str(subject.device)),
        plan=plan,
        answers=answers,
        started=started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - began,
        spent=spent,
        command=command,
    )
    return recorded(spec, found, seen)


def _call(given: Mapping[str, Any]) -> str:
    """Return the call of `audit` with what it was given: plain values as they are, others by the
    names of their arguments. Which checks ran is left out.
    """
    usual = inspect.signature(audit).parameters
    words = [
        f"{name}={value!r}" if isinstance(value, str | int | float) else f"{name}={name}"
        for name, known in usual.items()
        if name not in ("model", "only", "skip") and (value := given[name]) is not known.default
    ]
    return f"audit({', '.join(['model', *words])})"


def audit_spec(
    spec: AuditSpec, folder: Path, progress: Progress, *, resume: bool = False, command: str = ""
) -> Record:
    """Audit what a spec names, by a worker process that journals into `folder`.

    `command` is the line for the shell that does it, for the record.

    Raises:
        InputError: something that the spec names can't be used; nothing was written then.
        AuditBrokenError: the subject could not be brought in for another reason.
    """
    checks = chosen(spec)
    found: Found = ()

    def plan_for(facts: SubjectFacts) -> Plan:
        return planned(checks, spec.audit.profile, facts)

    def more_for(facts: SubjectFacts, plan: Plan, answers: Answers) -> Plan:
        nonlocal found
        found = found or findings(spec, checks, facts, plan, answers)
        return remedies_for(spec, found, facts, plan, answers)

    seen = observed(spec, folder, plan_for, more_for, progress, resume=resume, command=command)
    return recorded(spec, found, seen)


def judge_folder(folder: Path, settings: AuditSettings | None = None) -> Record:
    """Judge again what the audit in `folder` saw, without its model.

    Checks, limits and waivers are those of `settings` where given, else those of that audit.

    Raises:
        InputError: there is no journal in the folder, or a damaged one.
    """
    journal = Journal(folder)
    head = journal.head()
    spec = spec_from(head.spec, clean_text(journal.path / HEAD), Path())
    if settings is not None:
        judging = {name: getattr(settings, name) for name in ("checks", "limits", "waive")}
        audit = spec.audit.model_copy(update=judging)
        spec = spec.model_copy(update={"audit": audit})
    checks = chosen(spec)
    plan = planned(checks, spec.audit.profile, head.facts)
    answers = journal.answers(request for work in plan.work for request in work.requests)
    found = findings(spec, checks, head.facts, plan, answers)
    while (more := remedies_for(spec, found, head.facts, plan, answers)).work:
        kept = journal.answers(request for work in more.work for request in work.requests)
        if not kept:
            break
        answers |= kept
        done = tuple(work for work in more.work if kept.keys() & {*work.requests})
        plan = plan.then(replace(more, work=done))
    entries = {
        request: entry
        for work in plan.work
        for request in work.requests
        if (entry := journal.read(request)) is not None
    }
    spent = {
        work.name: max((entries[r][1] for r in work.requests if r in entries), default=0.0)
        for work in plan.work
    }
    seen = Observed(
        facts=head.facts,
        environment=head.environment,
        plan=plan,
        answers={request: answer for request, (answer, _) in entries.items()},
        started=head.started,
        seconds=sum(spent.values()),
        spent=spent,
        command=head.command,
    )
    return recorded(spec, found, seen)


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


Found = tuple[tuple[Check, Finding], ...]


def findings(
    spec: AuditSpec, checks: Sequence[Check], facts: SubjectFacts, plan: Plan, answers: Answers
) -> Found:
    """Return what each check finds once the plan of the checks is done; no remedy changes it."""

    def limits(check: Check) -> Limits:
        return limits_for(check, spec.audit.limits.get(check.id, {}))

    return findings_of(checks, limits, answers, plan.unavailable, spec, facts)


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


def recorded(spec: AuditSpec, found: Found, seen: Observed) -> Record:
    """Return the record of what was found and seen."""
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
            host=platform.node(),
            process=os.getpid(),
            spent={name: round(seconds, 3) for name, seconds in seen.spent.items()},
        ),
        seen.command,
        layers_seen(seen.answers, lambda request: request.at(spec.audit.profile, seen.facts.has)),
    )
    return Record(**{field.name: getattr(record, field.name) for field in fields(record)})


__all__ = ["OptimizerSpec", "Record", "audit", "audit_spec", "judge_folder"]
