"""The checkpoint's loss when its inputs are rescaled in the usual ways."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.values import Array
from auditor.experiments.lab import affordable, in_parts, private_copy, scored
from auditor.experiments.rescaling_ways import Layout, Way, layouts_of, ways_of
from auditor.intake.batches import Batch
from auditor.intake.losses import main_output, matched
from auditor.intake.modes import evaluating
from auditor.intake.scoring import Scorer
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.rescaling import MOST, Rescaled, RescaledOver
from auditor.observations.targets import best_constant_loss, losses_of

CHOSEN_BY = 128
"""Examples after which the choice among the ways is made."""

LEAST = 4
"""Examples that choose however costly the model: what is wrong by a lot shows on a few."""

TEMPERATURES = tuple(2.0 ** (step / 2) for step in range(-8, 13))


def rescaled(request: RescaledOver, subject: Subject) -> Rescaled | Unavailable:
    """Choose a way to rescale on some of the validation examples, measure it on the others."""
    return in_parts(subject, lambda: _tried(request, subject))


def _tried(request: RescaledOver, subject: Subject) -> Rescaled | Unavailable:
    assert subject.model is not None
    assert subject.loss is not None
    size = max(1, subject.facts.data["val"].batch_size)
    most = affordable(subject, request.batches, 6 * size, runs=2, training=False)
    choosing = affordable(subject, CHOSEN_BY, 1, runs=2 * MOST, training=False)
    batches = list(subject.batches("val", most))
    with seeded(derived_seed(subject.seed, request.key)), torch.no_grad():
        model = evaluating(private_copy(subject))
        chosen_by, rest = parted(batches, max(choosing, LEAST))
        layouts, modules = layouts_of(subject, batches)
        if not layouts:
            return Unavailable("no input holds finite real numbers alone, so none can be rescaled")
        if not rest or not chosen_by:
            return Unavailable("there are too few validation examples to choose and to measure")
        before = scored(subject, model, chosen_by, "val")
        if isinstance(before, Unavailable):
            return before
        if not np.isfinite(losses_of(before)).all():
            return Unavailable("the loss is not finite, so it can't be compared")
        ways = list(ways_of(subject, model, batches[0], layouts, modules))[:MOST]
        return _chosen(subject, model, chosen_by, rest, layouts, ways, most)


def _chosen(
    subject: Subject,
    model: nn.Module,
    chosen_by: list[Batch],
    rest: list[Batch],
    layouts: dict[str, Layout],
    ways: list[Way],
    most: int,
) -> Rescaled | Unavailable:
    means = []
    for way in ways:
        seen = scored(subject, model, (way.applied(b, layouts) for b in chosen_by), "val")
        mean = math.inf if isinstance(seen, Unavailable) else float(np.mean(losses_of(seen)))
        means.append(mean if math.isfinite(mean) else math.inf)
    best = ways[int(np.argmin(means))]
    before = scored(subject, model, rest, "val")
    after = scored(subject, model, (best.applied(b, layouts) for b in rest), "val")
    if isinstance(before, Unavailable) or isinstance(after, Unavailable):
        return Unavailable("the examples can't be scored one by one")
    train: list[Array] = [np.zeros(0), np.zeros(0)]
    if "train" in subject.data:
        there = list(subject.batches("train", most))
        for place, batches in enumerate((there, [best.applied(b, layouts) for b in there])):
            seen = scored(subject, model, batches, "train")
            train[place] = np.zeros(0) if isinstance(seen, Unavailable) else losses_of(seen)
    tempered, temperature = losses_of(before), 1.0
    if before.metric == "accuracy":
        tempered, temperature = _tempered(subject, model, chosen_by, rest)
    return Rescaled(
        metric=before.metric,
        tried=tuple(way.name for way in ways),
        losses=np.asarray(means),
        best=best.name,
        reason=best.reason,
        rule=best.rule,
        before=losses_of(before),
        after=losses_of(after),
        right_before=before.scores,
        right_after=after.scores,
        tempered=tempered,
        temperature=temperature,
        constant=best_constant_loss(before),
        train_before=train[0],
        train_after=train[1],
    )


def parted(batches: list[Batch], most: int) -> tuple[list[Batch], list[Batch]]:
    """Return every second example of the batches, up to so many, and all the others."""
    parts: tuple[list[Batch], list[Batch]] = ([], [])
    start = kept = 0
    for batch in batches:
        numbers = torch.arange(batch.size)
        chosen = (numbers + start) % 2 == 0
        chosen &= chosen.cumsum(0) <= most - kept
        kept += int(chosen.sum())
        for part, rows in zip(parts, (numbers[chosen], numbers[~chosen]), strict=True):
            if len(rows):
                part.append(batch.rows(rows))
        start += batch.size
    return parts


def _tempered(
    subject: Subject, model: nn.Module, chosen_by: list[Batch], rest: list[Batch]
) -> tuple[Array, float]:
    """Return the losses of `rest` at the temperature that suits `chosen_by` best, and that."""
    assert subject.loss is not None
    known = subject.loss.known
    outputs = [
        [(main_output(model(*b.args, **b.kwargs)), b.target) for b in part]
        for part in (chosen_by, rest)
    ]

    def at(part: int, temperature: float) -> Array:
        scorer = Scorer(subject, "val")
        for scores, target in outputs[part]:
            scorer.add(_cooled(scores, target, temperature, known), target, None)
        seen = scorer.result()
        return np.full(1, math.inf) if isinstance(seen, Unavailable) else seen.entropies

    best = min(TEMPERATURES, key=lambda temperature: float(np.mean(at(0, temperature))))
    return at(1, best), best


def _cooled(
    outputs: torch.Tensor, target: torch.Tensor, temperature: float, loss: str
) -> torch.Tensor:
    """Return the outputs at a temperature, in the form that the named loss takes."""
    if loss == "binary_cross_entropy":
        return torch.sigmoid(torch.logit(outputs.float(), eps=1e-6) / temperature)
    cooled = outputs / temperature
    if loss == "nll_loss":
        scores, _ = matched(cooled, target, loss)
        return functional.log_softmax(scores, dim=1)
    return cooled
