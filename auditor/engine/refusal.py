"""What a model refuses by its nature: then there is no answer to be had, rather than a broken one.

Some models are made for inference and raise in training mode; others take whole batches only.
"""

import torch

from auditor.core.request import Unavailable
from auditor.experiments.probe import apart_refused
from auditor.intake.batches import Batch
from auditor.intake.modes import keep_statistics
from auditor.intake.preserve import preserved
from auditor.intake.reference import blame
from auditor.intake.subject import Subject


def refusal(subject: Subject, error: BaseException) -> Unavailable | None:
    """Return what an experiment's exception means where the model itself raises it by its nature.

    It does where it takes the first batch, but not in training mode, or not a part of it.
    """
    if subject.model is None or not subject.data or not isinstance(error, Exception):
        return None
    batch = next(subject.batches(next(iter(subject.data)), 1))
    if not by_nature(error) or raised_on(subject, batch) is not None:
        return None
    kind = type(error)
    if isinstance(raised_on(subject, batch, training=True), kind):
        return inference_only(error)
    for size in {1, batch.size // 2} - {0, batch.size}:
        found = raised_on(subject, batch.take(size))
        if isinstance(found, kind):
            return Unavailable(apart_refused(found))
    return None


def by_nature(error: BaseException) -> bool:
    """Tell whether an exception may tell what a model is made for.

    Leaving the program, or memory that is short, tells nothing of it.
    """
    short = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return isinstance(error, Exception) and not short and "allocate memory" not in str(error)


def inference_only(error: BaseException) -> Unavailable:
    """Return what it means that a model raises in training mode alone."""
    return Unavailable(f"in training mode the model {blame(error)}, in evaluation mode it does not")


def raised_on(subject: Subject, batch: Batch, *, training: bool = False) -> BaseException | None:
    """Return what the model or its loss raises on a batch, None where they take it."""
    assert subject.model is not None
    try:
        with preserved(subject.model), torch.no_grad():
            subject.model.train(training)
            if batch.size == 1:
                keep_statistics(subject.model)
            outputs = subject.model(*batch.args, **batch.kwargs)
            if subject.loss is not None:
                subject.loss(outputs, batch.target)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the answer
        return error
    return None
