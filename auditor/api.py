"""Audits from Python: of live objects, of a spec, and of what an earlier audit kept."""

import datetime
import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.core.addresses import is_address
from auditor.core.errors import InputError
from auditor.core.record import AuditRecord
from auditor.core.request import Profile, Request
from auditor.core.spec import AuditSettings, AuditSpec, Task
from auditor.core.spec_file import spec_from
from auditor.core.subject import SubjectFacts
from auditor.core.text import clean_text
from auditor.engine.journal import HEAD, Journal
from auditor.engine.plan import Plan, Work, planned
from auditor.engine.supervisor import Answers, Observed, Progress, observed
from auditor.history.baseline import Baseline, baseline_named, baseline_of, of_record
from auditor.history.entry import audit_id
from auditor.history.history import About
from auditor.history.place import history_file
from auditor.history.sqlite import SqliteHistory
from auditor.opening.located import at_hand
from auditor.recording import (
    Found,
    Record,
    chosen,
    findings,
    held_against,
    recorded,
    remedies_for,
)

if TYPE_CHECKING:
    import torch


def audit(
    model: "torch.nn.Module",
    *,
    val: Any = None,
    train: Any = None,
    loss: Any = None,
    factory: "Callable[[], torch.nn.Module] | None" = None,
    optimizer: "Mapping[str, Any] | torch.optim.Optimizer | None" = None,
    training: Mapping[str, Any] | None = None,
    claims: Mapping[str, float] | None = None,
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
    baseline: AuditRecord | str | os.PathLike[str] | None = None,
    include_samples: bool = False,
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
        claims: metrics that the model is said to reach, such as `{"accuracy": 0.97}`.
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
        baseline: the earlier audit to compare with: a record, the file or folder of one, its id in
            the history, or `last` for the last one that was kept (`Record.keep`).
        include_samples: whether the report may show inputs of single examples.

    Raises:
        InputError: something handed in can't be used.
    """
    from auditor.engine.perform import perform
    from auditor.intake.assembly import assemble
    from auditor.intake.live import device_of, lent, live_optimizer, live_parts
    from auditor.intake.surroundings import environment
    from auditor.intake.wrapped import bare

    command = _call(locals())
    model = bare(model)
    where = device or device_of(model)
    values = {
        "name": name,
        "task": task,
        "training": {**(training or {}), "optimizer": live_optimizer(optimizer)},
        "claims": dict(claims or {}),
        "audit": {
            "profile": profile,
            "seed": seed,
            "device": where,
            "checks": {"only": None if only is None else list(only), "skip": list(skip)},
            "limits": limits or {},
            "remedies": remedies,
        },
        "output": {"include_samples": include_samples},
    }
    spec = spec_from(values, "audit()", Path())
    checks = chosen(spec)
    began, started = time.monotonic(), datetime.datetime.now(datetime.UTC)
    with lent(model, loss):
        parts = live_parts(model, factory, loss, train, val, batch, name, where, optimizer)
        held = _baseline(
            baseline, About(clean_text(parts.name, 120), parts.shown_factory, task), only
        )
        parts = replace(parts, earlier=held.earlier)
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
        found = findings(spec, checks, subject.facts, plan, answers, started.date())
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
    return held_against(recorded(spec, found, seen, started.date()), held)


def _baseline(
    named: AuditRecord | str | os.PathLike[str] | None, about: About, only: Sequence[str] | None
) -> Baseline:
    if named is None:
        return Baseline()
    if isinstance(named, AuditRecord):
        return of_record(named, "the record")
    return baseline_named(os.fspath(named), lambda: SqliteHistory(history_file()), about, only)


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
    spec: AuditSpec,
    folder: Path,
    progress: Progress,
    *,
    resume: bool = False,
    command: str = "",
    baseline: Baseline | None = None,
    today: datetime.date | None = None,
) -> Record:
    """Audit what a spec names, by a worker process that journals into `folder`.

    `command` is the line for the shell that does it, for the record; `baseline` is the audit to
    compare with, looked for where it is left out.
    Waivers are those of `today`: the day on which it starts or goes on, in universal time.

    Raises:
        InputError: something that the spec names can't be used; nothing was written then.
        AuditBrokenError: the subject could not be brought in for another reason.
    """
    checks = chosen(spec)
    if spec.model.checkpoint is not None and is_address(spec.model.checkpoint):
        progress.fetching()
        spec = at_hand(spec)
    day = today or _today()
    held = baseline_for(spec, folder, resume=resume) if baseline is None else baseline
    found: Found = ()

    def plan_for(facts: SubjectFacts) -> Plan:
        return planned(checks, spec.audit.profile, facts)

    def more_for(facts: SubjectFacts, plan: Plan, answers: Answers) -> Plan:
        nonlocal found
        found = found or findings(spec, checks, facts, plan, answers, day)
        return remedies_for(spec, found, facts, plan, answers)

    seen = observed(
        spec,
        folder,
        plan_for,
        more_for,
        progress,
        resume=resume,
        command=command,
        earlier=held.earlier,
    )
    return held_against(recorded(spec, found, seen, day), held)


def baseline_for(spec: AuditSpec, folder: Path, *, resume: bool = False) -> Baseline:
    """Return the earlier audit that a spec names to compare with; none where it names none.

    For an audit in `folder` that goes on, it is one that was there when that audit began.

    Raises:
        InputError: there is no such audit, or no journal to go on from.
    """
    if not resume or spec.audit.baseline is None:
        return baseline_of(spec)
    head = Journal(folder).head()
    return baseline_of(spec, head.started, audit_id(head.facts, head))


def _today() -> datetime.date:
    """Return the day in universal time, the same on all machines."""
    return datetime.datetime.now(datetime.UTC).date()


def judge_folder(
    folder: Path, settings: AuditSettings | None = None, today: datetime.date | None = None
) -> Record:
    """Judge again what the audit in `folder` saw, without its model.

    Checks, limits and waivers are those of `settings` where given, else those of that audit.
    Waivers are those of `today`, not of the day of that audit: who judges again decides now.

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
    day = today or _today()
    found = findings(spec, checks, head.facts, plan, answers, day)
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
        host=head.host,
        process=head.process,
    )
    record = recorded(spec, found, seen, day)
    with suppress(InputError):  # what it was compared with may be gone by now
        record = held_against(record, baseline_of(spec, head.started, audit_id(head.facts, head)))
    return record


__all__ = ["Record", "audit", "audit_spec", "judge_folder"]
