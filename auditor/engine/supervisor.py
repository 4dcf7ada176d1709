"""The supervisor: has an audit done by a worker, and outlives it. No torch.

Work that kills the worker, or takes longer than its limit, is answered `Failed`; another worker
goes on with the rest.
"""

import datetime
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from auditor.core.errors import AuditBrokenError, InputError
from auditor.core.request import Failed, Request
from auditor.core.secrets import sealed, told_spec
from auditor.core.spec import AuditSpec
from auditor.core.subject import SubjectFacts
from auditor.core.text import clean_text, listed
from auditor.engine.journal import VERSION, Head, Journal
from auditor.engine.plan import Plan, Work
from auditor.engine.process import WorkerDiedError, WorkerProcess
from auditor.observations.earlier import Earlier, Which
from auditor.opening.located import at_hand

Answers = Mapping[Request[Any], Any]


class Progress(Protocol):
    """Is told how an audit goes on."""

    def fetching(self) -> None:
        """The checkpoint is being fetched from its address."""

    def loading(self) -> None:
        """The subject is being brought in."""

    def planned(self, plan: Plan) -> None:
        """The work is known."""

    def started(self, work: Work) -> None:
        """A piece of work has begun."""

    def advanced(self) -> None:
        """One batch of it is through."""

    def finished(self, work: Work, failed: str) -> None:
        """A piece of work is over; `failed` says why where it broke off."""


@dataclass(frozen=True)
class Observed:
    """Everything an audit saw, ready to be judged."""

    facts: SubjectFacts
    environment: dict[str, str]
    plan: Plan
    answers: Answers
    started: str
    seconds: float
    spent: dict[str, float] = field(default_factory=dict)
    command: str = ""
    host: str = field(default_factory=platform.node)
    process: int = field(default_factory=os.getpid)
    """Who began it."""


class SubjectLostError(WorkerDiedError):
    """No other worker can go on, since the subject can't be brought in again as it was."""


JUDGING = (
    "spec.output.dir",
    "spec.output.formats",
    "spec.output.shared",
    "spec.history",
    "spec.audit.time_limit",
    "spec.audit.checks",
    "spec.audit.remedies",
    "spec.audit.limits",
    "spec.audit.waive",
)
"""What may differ when an audit is resumed: it changes no answer."""


def observed(
    spec: AuditSpec,
    folder: Path,
    plan_for: Callable[[SubjectFacts], Plan],
    more_for: Callable[[SubjectFacts, Plan, Answers], Plan],
    progress: Progress,
    *,
    resume: bool = False,
    command: str = "",
    earlier: Mapping[Which, Earlier] | None = None,
) -> Observed:
    """Have everything planned for a subject done by a worker, and return the answers.

    Checks may compare with the audits in `earlier`. What `more_for` makes of the answers is done
    after it, in rounds, until it makes no more work.

    Raises:
        InputError: the subject can't be brought in; nothing was written then.
        AuditBrokenError: the worker died, or took too long, while bringing the subject in.
    """
    began = time.monotonic()
    journal = Journal(folder, shared=spec.output.shared)
    progress.loading()
    crew = _Crew(spec, folder, earlier)
    try:
        facts, environment = crew.bring_in()
        settings = spec.model_dump(mode="json")
        head = Head(VERSION, told_spec(settings), facts, environment, _now(), command)
        if resume:
            head = _resumed(journal, head, settings)
        else:
            head = replace(head, secrets=sealed(settings))
        with journal.held():
            if resume:
                journal.go_on(head)
            else:
                journal.begin(head)
            spent: dict[str, float] = {}
            answers: dict[Request[Any], Any] = {}

            def done(work: Work) -> None:
                start = time.monotonic()
                progress.started(work)
                kept = journal.answered(work.requests) if resume else set()
                rest = tuple(request for request in work.requests if request not in kept)
                failed = crew.do(replace(work, requests=rest), journal, progress) if rest else ""
                progress.finished(work, failed)
                spent[work.name] = time.monotonic() - start
                answers.update(journal.answers(work.requests))

            plan = plan_for(facts)
            progress.planned(plan)
            for work in plan.work:
                done(work)
            while (more := more_for(facts, plan, answers)).work:
                plan = plan.then(more)
                progress.planned(plan)
                for work in more.work:
                    done(work)
            plan = plan.then(more)
    except WorkerDiedError as error:
        raise AuditBrokenError(f"the subject could not be brought in: {error}") from error
    finally:
        crew.leave()
    seconds = time.monotonic() - began
    return Observed(
        facts=facts,
        environment=environment,
        plan=plan,
        answers=answers,
        started=head.started,
        seconds=seconds,
        spent=spent,
        command=command,
        host=head.host,
        process=head.process,
    )


class _Crew:
    """One worker at a time: the next one is called when the last one is gone."""

    def __init__(
        self, spec: AuditSpec, folder: Path, earlier: Mapping[Which, Earlier] | None
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._earlier = earlier
        self._worker = WorkerProcess(spec, folder, earlier)
        self._facts: SubjectFacts | None = None
        self._lost: SubjectLostError | None = None

    def bring_in(self) -> tuple[SubjectFacts, dict[str, str]]:
        """Have the subject brought in.

        Raises:
            InputError: the worker refused it.
            WorkerDiedError: the worker died or took too long.
        """
        self._facts, environment = self._worker.load(self._spec.audit.time_limit)
        return self._facts, environment

    def do(self, work: Work, journal: Journal, progress: Progress) -> str:
        """Have a piece of work done; return why it failed, empty where it did not."""
        start = time.monotonic()
        try:
            if self._lost is not None:
                raise self._lost
            if self._worker.gone:
                self._worker = self._replacement()
            return self._worker.do(work, self._spec.audit.time_limit, progress.advanced)
        except WorkerDiedError as error:
            self._lost = error if isinstance(error, SubjectLostError) else None
            answered = journal.answered(work.requests)
            for request in work.requests:
                if request not in answered:
                    journal.write(request, Failed(str(error)), time.monotonic() - start)
            return str(error)

    def leave(self) -> None:
        """End the worker."""
        self._worker.kill()

    def _replacement(self) -> WorkerProcess:
        worker = WorkerProcess(self._spec, self._folder, self._earlier)
        try:
            again, _ = worker.load(self._spec.audit.time_limit)
        except (InputError, WorkerDiedError) as error:
            worker.kill()
            raise SubjectLostError(
                f"a new worker could not bring the subject in: {error}"
            ) from error
        changed = _changes({"facts": self._facts}, {"facts": again})
        if changed:
            worker.kill()
            raise SubjectLostError(
                f"the subject is not the same when it is brought in again: {listed(changed)}"
            )
        return worker


def brought_in(spec: AuditSpec) -> SubjectFacts:
    """Return the facts of a subject, brought in by a worker and let go again.

    Raises:
        InputError: the subject can't be brought in.
        AuditBrokenError: the worker died, or took too long.
    """
    worker = WorkerProcess(at_hand(spec), Path())
    try:
        return worker.load(spec.audit.time_limit)[0]
    except WorkerDiedError as error:
        raise AuditBrokenError(f"the subject could not be brought in: {error}") from error
    finally:
        worker.kill()


def _resumed(journal: Journal, head: Head, settings: dict[str, Any]) -> Head:
    """Return the head of an audit that goes on, once it is sure that it is the same audit.

    Raises:
        InputError: there is no journal, or it is of another subject or other settings.
    """
    before = journal.head()
    changed = _changes(
        {"spec": told_spec(before.spec), "facts": before.facts, "environment": before.environment},
        {"spec": head.spec, "facts": head.facts, "environment": head.environment},
    )
    if not changed and sealed(settings, before.secrets) != before.secrets:
        changed = ["what is hidden of its settings has changed"]
    if changed:
        raise InputError(
            f"--resume: {clean_text(journal.path)} is of another audit: {listed(changed)}; "
            "run without --resume to start anew"
        )
    return replace(
        head,
        started=before.started,
        host=before.host,
        process=before.process,
        secrets=before.secrets,
    )


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what differs, for people; `JUDGING` aside.

    Of a subject that other settings make another, the settings alone are told.
    """
    old, new = _flat(before), _flat(after)
    settings: list[str] = []
    said: dict[str, None] = {}
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) == new.get(name) or name.startswith(JUDGING):
            continue
        kind, _, place = name.partition(".")
        if kind != "facts":
            was, now = clean_text(old.get(name), 40), clean_text(new.get(name), 40)
            settings.append(f"{place} was {was}, is {now}")
        elif place.startswith("checkpoint"):
            said["the checkpoint has changed"] = None
        elif place.startswith("data."):
            said[f"the batches of {'.'.join(place.split('.')[:2])} have changed"] = None
        else:
            said[f"the subject's {place} has changed"] = None
    return settings or list(said)


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Return nested values by dotted name, as text, so that NaN equals NaN."""
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, dict) and value:
        inner = [_flat(part, f"{name}.{key}" if name else str(key)) for key, part in value.items()]
        return {key: text for part in inner for key, text in part.items()}
    return {name: repr(sorted(value) if isinstance(value, frozenset) else value)}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
