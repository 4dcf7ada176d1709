"""One traversal of a split, with every observer that rides it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Depth, Failed, Request, Riding, Sweep, Unavailable
from auditor.engine.refusal import by_nature, inference_only, raised_on
from auditor.intake.batches import Batch
from auditor.intake.modes import keep_statistics
from auditor.intake.preserve import SubjectChangedError, preserved
from auditor.intake.reference import blame
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.intake.watch import PARAMETERS, watched
from auditor.observers.observer import Observer, Place, Step
from auditor.observers.tap import Tap

Advance = Callable[[], None]
Answer = tuple[Request[Any], Any]


def run_sweep(
    subject: Subject,
    sweep: Sweep,
    observers: Mapping[Riding[Any], Observer],
    advance: Advance = lambda: None,
    left: list[str] | None = None,
) -> Iterator[Answer]:
    """Yield the answer of each observer as soon as it has seen enough.

    What it leaves changed of process and model, and had to be put back, is told in `left`.

    An observer that raises fails alone; a model, loss or loader that raises fails all that still
    watch, unless it does so in training mode alone: such a model is made for inference.
    Once exhausted, the subject's model is as it was before.
    """
    model = subject.model
    assert model is not None
    watching = {request: _Guarded(observer) for request, observer in observers.items()}
    batches = subject.batches(sweep.split, max(request.batches for request in observers))
    training = sweep.mode == "train"
    batch: Batch | None = None
    changed = [] if left is None else left
    several = subject.facts.data[sweep.split].batch_size > 1
    try:
        with (
            preserved(model),
            seeded(derived_seed(subject.seed, f"sweep {sweep}")),
            contextlib.closing(iter(batches)) as source,
        ):
            model.train(training)
            if not several:
                keep_statistics(model)
            tap = Tap(model)
            with watched(model, changed):
                for index, batch in enumerate(source):
                    for request in [r for r in watching if r.batches <= index]:
                        yield request, watching.pop(request).answer()
                    if training and several and batch.size == 1:
                        continue
                    _pass(subject, tap, watching, batch, index)
                    advance()
                for request in [*watching]:
                    yield request, watching[request].answer()
    except InputError as error:
        if isinstance(error, SubjectChangedError):
            changed.append(PARAMETERS)
        yield from ((request, Failed(str(error))) for request in watching)
    except (torch.OutOfMemoryError, MemoryError):
        reason = "memory ran out in a pass over one batch; a loader with smaller batches may fit"
        yield from ((request, Failed(reason)) for request in watching)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - what the subject raises is the answer
        answer: Failed | Unavailable = Failed(f"the model {blame(error)}")
        meant = training and batch is not None and by_nature(error)
        if meant and batch is not None and raised_on(subject, batch) is None:
            answer = inference_only(error)
        yield from ((request, answer) for request in watching)


def _pass(
    subject: Subject,
    tap: Tap,
    watching: Mapping[Riding[Any], Observer],
    batch: Batch,
    index: int,
) -> None:
    """Run one batch forward, and backward where an observer still asks for it."""
    assert subject.model is not None
    named = {name: p for name, p in subject.model.named_parameters() if p.requires_grad}
    backward = bool(named) and any(request.depth is Depth.BACKWARD for request in watching)
    observers = list(watching.values())
    gradients: dict[str, torch.Tensor | None] = {}
    with torch.set_grad_enabled(backward):
        with tap.open(observers, gradients=backward):
            outputs = subject.model(*batch.args, **batch.kwargs)
        loss = subject.loss(outputs, batch.target) if subject.loss else None
    if backward and loss is not None and loss.requires_grad:
        with tap.backward(observers):
            found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        gradients = dict(zip(named, found, strict=True))
    step = Step(index, batch, outputs, loss, gradients)
    for observer in observers:
        observer.step(step)


class _Guarded(Observer):
    """An observer whose exceptions become its answer."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._failed: Failed | None = None
        self.functions = observer.functions

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._try(self._observer.entering, name, module, args)

    def followed(self, function: Any, inputs: tuple[Any, ...], output: Any) -> None:
        self._try(self._observer.followed, function, inputs, output)

    def leaving(self, place: Place, output: Any) -> None:
        self._try(self._observer.leaving, place, output)

    def calling(self, place: Place, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._try(self._observer.calling, place, args, kwargs)

    def called(self, place: Place, output: Any) -> None:
        self._try(self._observer.called, place, output)

    def gradient(self, place: Place, gradient: torch.Tensor) -> None:
        self._try(self._observer.gradient, place, gradient)

    def step(self, step: Step) -> None:
        self._try(self._observer.step, step)

    def answer(self) -> Any:
        """Return the observation, or why there is none."""
        made = self._try(self._observer.result)
        return self._failed or made

    def _try(self, method: Callable[..., Any], *args: Any) -> Any:
        if self._failed is not None:
            return None
        try:
            with torch.no_grad():
                return method(*args)
        except Exception as error:  # noqa: BLE001 - it becomes the answer
            self._failed = Failed(f"{type(self._observer).__name__} {blame(error)}")
            return None
