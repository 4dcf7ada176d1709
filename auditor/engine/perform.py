"""Doing a piece of work on a live subject."""

from collections.abc import Callable, Iterator
from typing import Any

from auditor.core.errors import InputError
from auditor.core.request import Failed, Request, Unavailable
from auditor.engine.plan import Work
from auditor.engine.refusal import refusal
from auditor.engine.sweep import Advance, Answer, run_sweep
from auditor.experiments import EXPERIMENTS
from auditor.intake.preserve import UncopyableError, preserved
from auditor.intake.reference import blame
from auditor.intake.subject import Subject
from auditor.observers import FACTS, OBSERVERS

REQUESTS: dict[str, type[Request[Any]]] = {
    kind.__name__: kind for kind in (*FACTS, *OBSERVERS, *EXPERIMENTS)
}
"""Every kind of request that can be answered, by name."""


def perform(work: Work, subject: Subject, advance: Advance = lambda: None) -> Iterator[Answer]:
    """Yield an answer to each request of a piece of work; what breaks answers `Failed`."""
    if work.sweep is not None:
        observers: dict[Any, Any] = {
            request: OBSERVERS[type(request)](request, subject)  # type: ignore[index]
            for request in work.requests
        }
        yield from run_sweep(subject, work.sweep, observers, advance)
        return
    request = work.requests[0]
    answer: Callable[..., Any] = {**FACTS, **EXPERIMENTS}[type(request)]
    yield request, _answered(answer, request, subject)


def _answered(answer: Callable[..., Any], request: Request[Any], subject: Subject) -> Any:
    try:
        if subject.model is None:
            return answer(request, subject)
        with preserved(subject.model):
            return answer(request, subject)
    except UncopyableError as error:
        return Unavailable(str(error))
    except InputError as error:
        return Failed(str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it becomes the answer
        return refusal(subject, error) or Failed(f"the experiment {blame(error)}")
