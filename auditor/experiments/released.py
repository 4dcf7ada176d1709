"""Two copies trained alike but for what holds one of them back, and the line between them."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.experiments.arms import Named, marks, named_in, shown_of, stepped, stepper
from auditor.experiments.lab import affordable, halving
from auditor.experiments.probe import native_copy, raised
from auditor.intake.losses import Loss
from auditor.intake.seeding import seeded
from auditor.intake.subject import Subject
from auditor.observations.regularisation import TIMES, Form, Released


def released(
    subject: Subject,
    start: Literal["checkpoint", "fresh"],
    steps: int,
    batches: int,
    seed: int,
    *,
    decays: Mapping[str, float],
    inside: Mapping[str, float],
    form: Form,
    bare: Loss,
) -> Released | Unavailable:
    """Train a copy with regularisation and one without, and score the line between them.

    `decays` are the optimizer's by parameter; `inside` the factors of a penalty of the given form,
    which the loss of a copy no longer has: it is added to the gradient by hand.
    """
    size = subject.facts.data["train"].batch_size
    steps = affordable(subject, steps, size, runs=2)
    batches = affordable(subject, batches, size, runs=len(TIMES), training=False)

    def attempt(fraction: float) -> Released | Unavailable:
        arms: list[nn.Module] = []
        shown = ""
        for held in (True, False):
            with seeded(seed), torch.enable_grad():
                model = subject.fresh(seed) if start == "fresh" else native_copy(subject)
                optimizer = stepper(subject, model, start, decays if held else {})
                if isinstance(optimizer, Unavailable):
                    return optimizer
                shown = shown or shown_of(optimizer)
                pulls = _pulling(named_in(model), inside, form) if held else None
                if not stepped(subject, model, optimizer, steps, fraction, bare, pulls):
                    return Unavailable("copies get a loss that is not finite within a few steps")
                arms.append(model)
        measured = _line(subject, arms[0], arms[1], batches)
        if isinstance(measured, Unavailable):
            return measured
        measure, losses, scores = measured
        return Released(start, steps, shown, measure, np.asarray(TIMES), losses, scores)

    try:
        return halving(attempt)[0]
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the model and the optimizer are the user's
        return Unavailable(f"copies can't be trained here: {raised(error)}")


def _pulling(named: Named, inside: Mapping[str, float], form: Form) -> Callable[[], None] | None:
    """Return what adds the gradient of a penalty to that of the data."""
    factors = [(p, inside[name]) for name, p in named if inside.get(name)]
    if not factors:
        return None

    @torch.no_grad()
    def add() -> None:
        for p, factor in factors:
            pull = factor * (p if form == "square" else p.sign())
            p.grad = pull if p.grad is None else p.grad + pull

    return add


@torch.no_grad()
def _line(
    subject: Subject, held: nn.Module, free: nn.Module, batches: int
) -> tuple[str, Any, Any] | Unavailable:
    """Score the points w + t (w' - w); batch norm takes the statistics of its batch throughout."""
    ours = [p for p in held.parameters() if p.requires_grad]
    theirs = [p for p in free.parameters() if p.requires_grad]
    begin = [p.detach().clone() for p in ours]
    apart = [q.detach() - p for p, q in zip(begin, theirs, strict=True)]
    seen = list(subject.batches("val", batches))
    rows, scores, measure = [], [], ""
    for time in TIMES:
        for p, base, step in zip(ours, begin, apart, strict=True):
            p.copy_(base + time * step)
        measure, losses, score = marks(subject, held, seen)
        if not len(losses):
            return Unavailable("no validation example could be scored")
        rows.append(losses)
        scores.append(score)
    return measure, np.stack(rows), np.asarray(scores)
