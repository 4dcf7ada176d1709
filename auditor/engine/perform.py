"""Doing a piece of work on a live subject."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from auditor.core.errors import InputError
from auditor.core.request import Failed, Request, Sweep, Unavailable
from auditor.engine.guard import culprits, own_doing
from auditor.engine.plan import Work
from auditor.engine.refusal import refusal
from auditor.engine.sweep import Advance, Answer, run_sweep
from auditor.experiments import EXPERIMENTS
from auditor.intake.preserve import SubjectChangedError, UncopyableError, preserved
from auditor.intake.reference import blame
from auditor.intake.subject import Subject
from auditor.intake.watch import GRADIENTS, MODES, PARAMETERS, watched
from auditor.observers import FACTS, OBSERVERS
from auditor.observers.observer import Observer

REQUESTS: dict[str, type[Request[Any]]] = {
    kind.__name__: kind for kind in (*FACTS, *OBSERVERS, *EXPERIMENTS)
}
"""Every kind of request that can be answered, by name."""


def perform(work: Work, subject: Subject, advance: Advance = lambda: None) -> Iterator[Answer]:
    """Yield an answer to each request of a piece of work; what breaks answers `Failed`.

    So does what leaves anything changed that is not its own: that is put back. Where others have
    shared a sweep with it, they are answered once more, without it.
    """
    if work.sweep is not None:
        yield from _swept(work.sweep, work.requests, subject, advance)
        return
    request = work.requests[0]
    answer: Callable[..., Any] = {**FACTS, **EXPERIMENTS}[type(request)]
    yield request, _answered(answer, request, subject)


def _swept(
    sweep: Sweep, requests: tuple[Any, ...], subject: Subject, advance: Advance
) -> Iterator[Answer]:
    def observers(riding: Iterable[Any]) -> dict[Any, Observer]:
        return {request: OBSERVERS[type(request)](request, subject) for request in riding}

    left: list[str] = []
    yield from run_sweep(subject, sweep, observers(requests), advance, left)
    if not left:
        return
    blamed = culprits(subject, sweep, requests, observers, left)
    others = [request for request in requests if request not in blamed]
    if blamed and others:
        yield from run_sweep(subject, sweep, observers(others))
    yield from blamed.items()


def _lent(subject: Subject) -> AbstractContextManager[None]:
    return nullcontext() if subject.model is None else preserved(subject.model)


def _answered(answer: Callable[..., Any], request: Request[Any], subject: Subject) -> Any:
    left: list[str] = []
    try:
        with _lent(subject), watched(subject.model, left):
            made = answer(request, subject)
    except SubjectChangedError as error:
        return own_doing(subject, [*left, PARAMETERS]) or Failed(str(error))
    except UncopyableError as error:
        return Unavailable(str(error))
    except InputError as error:
        return Failed(str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it becomes the answer
        return refusal(subject, error) or Failed(f"the experiment {blame(error)}")
    # The model that an experiment is lent it may put into either mode; and a loss of the user's
    # that holds the model, for a penalty, has each backward pass of a copy reach its gradients too.
    left = [name for name in left if name not in (MODES, GRADIENTS)]
    return (own_doing(subject, left) if left else None) or made
