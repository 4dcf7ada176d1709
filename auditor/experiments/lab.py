"""What experiments share: private copies, endless batches, smaller ones where memory is short."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Split, Unavailable
from auditor.intake.batches import Batch
from auditor.intake.preserve import copied
from auditor.intake.scoring import Scorer
from auditor.intake.subject import Subject
from auditor.observations.performance import Performance

T = TypeVar("T")

FRACTIONS = (1.0, 0.5, 0.25, 0.125)
"""Shares of a batch that are tried, one after the other, when memory does not suffice."""


BUDGET = 5e11
"""Floating-point operations that one experiment may spend on a CPU: ten to twenty seconds on two
cores. They are counted, not timed, so that the same audit does the same work every time."""

CUDA_TIMES = 40
"""How many times that a CUDA device may spend, which is about as long."""

TRAINING_PASSES = 3
"""What a step costs in forward passes: the backward pass is twice as dear."""

CALL = 5e5
"""Floating-point operations that go by while a layer is called, or a recurrent one takes a step,
however small it is: some 20 microseconds. In a narrow model of a thousand layers, or on a sequence
of a thousand steps, nothing else counts."""


def affordable(
    subject: Subject, steps: int, examples: int, runs: int = 1, *, training: bool = True
) -> int:
    """Return how many of `steps`, each over so many examples, the budget allows; at least one.

    Each of `runs` takes that many steps; all together stay within the budget.
    """
    budget = BUDGET * (CUDA_TIMES if subject.device.type == "cuda" else 1)
    passes = TRAINING_PASSES if training else 1
    step = forward_cost(subject, examples) * passes
    return max(1, min(steps, int(budget / (step * max(runs, 1)))))


def forward_cost(subject: Subject, examples: int) -> float:
    """Return what a pass over so many examples costs, in floating-point operations."""
    assert subject.model is not None
    layers = sum(next(module.children(), None) is None for module in subject.model.modules())
    calls = layers + subject.facts.recurrent_steps
    return max(subject.facts.flops * max(examples, 1), CALL * calls, 1.0)


@torch.no_grad()
def scored(
    subject: Subject, model: nn.Module, batches: Iterable[Batch], split: Split
) -> Performance | Unavailable:
    """Return how well a private model does, in evaluation mode, example by example."""
    assert subject.loss is not None
    was = [(module, module.training) for module in model.modules()]
    model.eval()
    scorer = Scorer(subject, split)
    for batch in batches:
        here = batch.to(subject.device)
        outputs = model(*here.args, **here.kwargs)
        scorer.add(outputs, here.target, subject.loss(outputs, here.target))
    for module, training in was:
        module.training = training
    return scorer.result()


@contextmanager
def every_module_called() -> Iterator[None]:
    """Keep torch from running a transformer's layers as one function that calls no module."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def private_copy(subject: Subject) -> nn.Module:
    """Return the audited model, built anew with its weights or copied; free to be trained.

    A model that was changed after it was built, by quantisation for one, is copied.
    """
    assert subject.model is not None
    if subject.factory is None:
        return copied(subject.model)
    built, own = subject.fresh(subject.seed), subject.model.state_dict()
    if built.state_dict().keys() != own.keys():
        return copied(subject.model)
    built.load_state_dict(own)
    for mine, theirs in zip(built.parameters(), subject.model.parameters(), strict=True):
        mine.requires_grad_(theirs.requires_grad)
    return built


def cycled(subject: Subject, split: Split, steps: int, fraction: float = 1.0) -> Iterator[Batch]:
    """Yield `steps` batches of a split, from its start again after its end.

    Batches of one example are left out where there are larger ones: batch norm can't train on
    them. With a `fraction`, only that share of each batch is kept.
    """
    several = subject.facts.data[split].batch_size > 1
    left = steps
    while left:
        used = 0
        for batch in itertools.islice(subject.batches(split, steps), steps):
            if several and batch.size == 1:
                continue
            used += 1
            yield batch.share(fraction)
            left -= 1
            if not left:
                return
        if not used:
            return


def in_parts(subject: Subject, attempt: Callable[[], T]) -> T | Unavailable:
    """Return what an attempt gives that takes batches apart, unavailable where they can't be.

    A custom task may set the examples of a batch against one another, and its loss then refuses a
    part of one.
    """
    try:
        return attempt()
    except InputError as error:
        if subject.facts.task != "custom":
            raise
        return Unavailable(f"batches can't be taken apart: {error}")


def halving(attempt: Callable[[float], T]) -> tuple[T, str]:
    """Return what `attempt` gives for the largest fraction of a batch that fits in memory.

    With it comes a note, empty where whole batches fitted.
    """
    for fraction in FRACTIONS:
        try:
            made = attempt(fraction)
        except (RuntimeError, MemoryError) as error:
            if fraction == FRACTIONS[-1] or not _memory_ran_out(error):
                raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        note = "" if fraction == 1.0 else f"memory sufficed for {fraction:.0%} of each batch only"
        return made, note
    raise AssertionError("unreachable")


def with_note(found: T, note: str) -> T:
    """Return an answer that has a `note` with one more, and as it is where there is none to add."""
    if isinstance(found, Unavailable) or not note:
        return found
    answer: Any = found
    noted: T = replace(answer, note="; ".join(filter(None, (answer.note, note))))
    return noted


def _memory_ran_out(error: Exception) -> bool:
    """Tell whether an error is about memory; the CPU's allocator raises a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)
