"""The worker: a process of its own that brings the subject in and does the work it is told.

It reads one JSON object a line from standard input and writes one a line to what was standard
output when it started; the subject's own prints go to standard error, with the logs. Answers go
to the journal, and only word of them to the supervisor.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from auditor.core.cleaned import cleaned
from auditor.core.errors import InputError
from auditor.core.request import Cost, Failed, Request, Sweep, request_from_json
from auditor.core.spec import AuditSpec
from auditor.core.subject import SubjectFacts
from auditor.core.text import clean_text
from auditor.engine.journal import Journal
from auditor.engine.plan import Work

PR_SET_PDEATHSIG = 1

SMALL = 1e9
"""Floating-point operations of a batch, below which threads wait longer than they work."""


def main() -> None:
    """Serve one supervisor until it closes the pipe."""
    _die_with_parent()
    # Last, so that a user's `random.py` or `types.py` in this folder hides none of Python's.
    sys.path.append(os.getcwd())
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines = os.fdopen(os.dup(0), encoding="utf-8")
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    _serve(lines, out)


def _serve(lines: IO[str], out: IO[str]) -> None:
    def say(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    first = next(lines, "")
    if not first:
        return
    order = json.loads(first)
    places = {"base": Path(order["base"]), "fetched": order["fetched"]}
    spec = AuditSpec.model_validate({**order["spec"], **places})
    from auditor.engine.process import EARLIER
    from auditor.intake.loading import load
    from auditor.intake.surroundings import environment

    try:
        subject = load(spec, EARLIER.validate_python(order["earlier"]))
    except InputError as error:
        say(event="refused", reason=str(error))
        return
    _choose_threads(subject.facts)
    facts = TypeAdapter(SubjectFacts).dump_python(cleaned(subject.facts), mode="json")
    say(event="loaded", facts=facts, environment=environment(str(subject.device)))
    from auditor.engine.perform import REQUESTS, perform

    journal = Journal(Path(order["folder"]), shared=spec.output.shared)
    for line in lines:
        told = json.loads(line)
        work = Work(
            tuple(request_from_json(request, REQUESTS) for request in told["requests"]),
            Cost(),
            Sweep(**told["sweep"]) if told["sweep"] else None,
        )
        started = time.monotonic()
        for request, answer in perform(work, subject, lambda: say(event="advanced")):
            answer = _kept(journal, request, answer, time.monotonic() - started)
            failed = answer.reason if isinstance(answer, Failed) else ""
            say(event="answered", request=request.key, failed=failed)
        say(event="done")


def _choose_threads(facts: SubjectFacts) -> None:
    """Let one thread compute what is small: by the count, so that the same is chosen each time."""
    import torch

    largest = max((split.batch_size for split in facts.data.values()), default=0)
    if facts.flops * largest < SMALL:
        torch.set_num_threads(1)


def _kept(journal: Journal, request: Request[Any], answer: Any, seconds: float) -> Any:
    """Keep an answer; one that can't be written is answered `Failed`."""
    try:
        journal.write(request, answer, seconds)
    except (TypeError, ValueError) as error:
        answer = Failed(f"the answer can't be written: {clean_text(error)}")
        journal.write(request, answer, seconds)
    return answer


def _die_with_parent() -> None:
    """End when the supervisor does, even if that was killed and even while computing."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
