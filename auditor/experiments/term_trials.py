"""Training fresh models with and without those terms of a loss that judge no answers."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.experiments.lab import affordable, cycled, halving
from auditor.experiments.training import settled, train
from auditor.intake.batches import Batch
from auditor.intake.losses import Loss
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.term_trials import (
    HELD,
    MOST_TRIED,
    SEEDS,
    TermTrial,
    TermTrials,
    TermTrialsOver,
)


def term_trials(request: TermTrialsOver, subject: Subject) -> TermTrials | Unavailable:
    """Return what is learnt with and without each term that does not look at the targets."""
    loss = subject.loss
    assert loss is not None
    if len(loss.terms) < 2:
        return Unavailable("the loss is one callable, which can't be taken apart")
    seed = derived_seed(subject.seed, request.key)
    model = subject.fresh(seed)
    if not any(p.requires_grad for p in model.parameters()):
        return Unavailable("the model has no trainable parameters")
    split: Split = "val" if "val" in subject.data else "train"
    held = [batch for batch in subject.batches(split, HELD) if batch.size > 1]
    if not held:
        return Unavailable("batches of one example do not show which terms look at the targets")
    idle = _idle(loss, model, held)
    if not idle or len(idle) == len(loss.terms):
        return Unavailable("every term looks at the targets, or none does")
    return halving(lambda fraction: _tried(request, subject, held, idle, seed, fraction))[0]


@torch.no_grad()
def _idle(loss: Loss, model: nn.Module, held: list[Batch]) -> list[str]:
    """Return the terms that stay what they are when targets go to other examples."""
    model.eval()
    found, told = set(loss.terms), False
    for batch in held:
        turned = batch.rows(torch.arange(batch.size).roll(1)).target
        if _same(turned, batch.target):
            continue
        told = True
        outputs = model(*batch.args, **batch.kwargs)
        here, there = (loss.values(outputs, target) for target in (batch.target, turned))
        found = {name for name in found if torch.isclose(here[name], there[name], rtol=1e-5)}
    return [name for name in loss.terms if name in found] if told else []


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, torch.Tensor) and bool(torch.equal(one, other))


def _tried(
    request: TermTrialsOver,
    subject: Subject,
    held: list[Batch],
    idle: list[str],
    seed: int,
    fraction: float,
) -> TermTrials:
    loss = subject.loss
    assert loss is not None
    chosen = idle[:MOST_TRIED]
    size = max(1, int(subject.facts.data["train"].batch_size * fraction))
    steps = affordable(subject, request.steps, size, SEEDS * (1 + len(chosen)))
    judging = [name for name in loss.terms if name not in idle]
    optimizer, _ = settled(subject)

    def run(left_out: str | None) -> tuple[Array, Array]:
        terms = {name: term for name, term in loss.terms.items() if name != left_out}
        racer = replace(subject, loss=replace(loss, terms=terms))
        before, after = [], []
        for number in range(SEEDS):
            with seeded(seed + number):
                model = subject.fresh(seed + number)
                before += _worth(loss, judging, model, held)
                train(racer, model, cycled(subject, "train", steps, fraction), optimizer,
                      clip_norm=subject.clip_norm)  # fmt: skip
                after += _worth(loss, judging, model, held)
        return np.asarray(before), np.asarray(after)

    start, whole = run(None)
    trials = (TermTrial(clean_text(n, 40), start, whole, run(n)[1]) for n in chosen)
    return TermTrials(tuple(trials), steps)


@torch.no_grad()
def _worth(loss: Loss, names: list[str], model: nn.Module, held: list[Batch]) -> list[float]:
    """Return what some terms of a loss are worth together on each batch."""
    model.eval()
    found = []
    for batch in held:
        values = loss.values(model(*batch.args, **batch.kwargs), batch.target)
        found.append(float(torch.stack([values[name] for name in names]).sum()))
    return found
