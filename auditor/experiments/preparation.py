"""The checkpoint's loss when its inputs are turned, reordered or renumbered."""

import math

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.values import Array
from auditor.experiments.lab import affordable, in_parts, private_copy, scored
from auditor.experiments.preparation_ways import Way, main_input, ways_of
from auditor.experiments.rescaling import parted
from auditor.intake.batches import Batch
from auditor.intake.modes import evaluating
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.performance import Performance
from auditor.observations.preparation import MOST, Prepared, PreparedOver
from auditor.observations.targets import best_constant_loss, losses_of

CHOSEN_BY = 128
"""Examples after which the choice among the ways is made."""

LEAST = 4
"""Examples that choose however costly the model."""

COLUMNS = 256
"""Columns of an example that a linear model tells the splits apart by."""

FEWEST = 20
"""Examples of each split below which they are not told apart."""

PENALTY = 1.0
"""Ridge penalty of that model, as a share of an example for each column."""


def preparation(request: PreparedOver, subject: Subject) -> Prepared | Unavailable:
    """Choose a way on some of the validation examples, measure it on the others."""
    return in_parts(subject, lambda: _tried(request, subject))


def _tried(request: PreparedOver, subject: Subject) -> Prepared | Unavailable:
    assert subject.model is not None
    size = max(1, subject.facts.data["val"].batch_size)
    most = affordable(subject, request.batches, 6 * size, runs=2, training=False)
    choosing = affordable(subject, CHOSEN_BY, 1, runs=2 * MOST, training=False)
    batches = list(subject.batches("val", most))
    there = list(subject.batches("train", most)) if "train" in subject.data else []
    found = main_input(batches[0])
    if found is None:
        return Unavailable("no input has a row for each example and more than one value in it")
    name = found[0]
    rows = _rows(batches, name)
    training = _rows(there, name)
    if rows is None:
        return Unavailable("inputs of different lengths can't be arranged otherwise")
    with seeded(derived_seed(subject.seed, request.key)), torch.no_grad():
        model = evaluating(private_copy(subject))
        chosen_by, rest = parted(batches, max(choosing, LEAST))
        if not rest or not chosen_by:
            return Unavailable("there are too few validation examples to choose and to measure")
        ways = [w for w in ways_of(subject, name, rows, training) if _changes(w, rows)]
        return _chosen(subject, model, name, (chosen_by, rest, there), ways, _told(rows, training))


def _chosen(
    subject: Subject,
    model: nn.Module,
    name: str,
    parts: tuple[list[Batch], list[Batch], list[Batch]],
    ways: list[Way],
    told: Array,
) -> Prepared | Unavailable:
    chosen_by, rest, there = parts

    def measured(batches: list[Batch], way: Way | None, split: str) -> Performance | Unavailable:
        arranged = (b if way is None else way.applied(b, name) for b in batches)
        return scored(subject, model, arranged, "train" if split == "train" else "val")

    seen = [measured(chosen_by, way, "val") for way in ways]
    means = np.asarray([math.inf if isinstance(s, Unavailable) else _mean(s) for s in seen])
    best = ways[int(np.argmin(means))] if len(ways) else None
    before, after = measured(rest, None, "val"), measured(rest, best, "val")
    if isinstance(before, Unavailable):
        return before
    if isinstance(after, Unavailable):
        return after
    if not np.isfinite(losses_of(before)).all():
        return Unavailable("the loss is not finite, so it can't be compared")
    train = [measured(there, way, "train") for way in (None, best)] if there else []
    known = [one for one in train if isinstance(one, Performance)]
    losses = [losses_of(one) for one in known] if len(known) == 2 else [np.zeros(0)] * 2
    right = [one.scores for one in known] if len(known) == 2 else [np.zeros(0)] * 2
    return Prepared(
        metric=before.metric,
        tried=tuple(way.name for way in ways),
        losses=means,
        best=best.name if best is not None else "",
        before=losses_of(before),
        after=losses_of(after),
        right_before=before.scores,
        right_after=after.scores,
        constant=best_constant_loss(before),
        train_before=losses[0],
        train_after=losses[1],
        train_right_before=right[0],
        train_right_after=right[1],
        told=told,
    )


def _mean(seen: Performance) -> float:
    mean = float(np.mean(losses_of(seen)))
    return mean if math.isfinite(mean) else math.inf


def _changes(way: Way, rows: torch.Tensor) -> bool:
    """Tell whether a way fits the input and does anything to it."""
    some = rows[:8]
    made = way.change(some)
    return made.shape == some.shape and not torch.equal(made, some)


def _rows(batches: list[Batch], name: str) -> torch.Tensor | None:
    """Return the named input of all batches as [examples, ...]; None where shapes differ."""
    parts = []
    for batch in batches:
        found = main_input(batch)
        if found is None or found[0] != name:
            return None
        parts.append(found[1].detach().cpu())
    if not parts or len({part.shape[1:] for part in parts}) > 1:
        return None
    return torch.cat(parts)


def _told(rows: torch.Tensor, there: torch.Tensor | None) -> Array:
    """Tell validation from training examples by ridge regression on one half, tried on the other.

    By the values and their squares, of tokens by how often each stands in an example.
    """
    if (
        there is None
        or min(len(rows), len(there)) < 2 * FEWEST
        or rows.shape[1:] != there.shape[1:]
    ):
        return np.zeros(0)
    count = min(len(rows), len(there))
    parts = [part[torch.linspace(0, len(part) - 1, count).round().long()] for part in (there, rows)]
    whole = torch.cat(parts)
    if whole.is_floating_point():
        if not whole.isfinite().all():
            return np.zeros(0)
        flat = whole.flatten(1).double()
        chosen = torch.linspace(0, flat.shape[1] - 1, min(COLUMNS, flat.shape[1])).round().long()
        values = _scaled(flat[:, chosen])
        values = torch.cat([values, _scaled(values.square())], dim=1)
    else:
        tokens = whole.flatten(1).long().clamp(min=0) % COLUMNS
        counts = torch.zeros(len(tokens), COLUMNS, dtype=torch.float64)
        values = _scaled(counts.scatter_add_(1, tokens, torch.ones_like(tokens).double()))
    sides = torch.cat([-torch.ones(count), torch.ones(count)]).double()
    learnt = torch.arange(2 * count) % 2 == 0
    known = values[learnt]
    penalty = PENALTY * values.shape[1] * torch.eye(values.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(known.T @ known + penalty, known.T @ sides[learnt])
    told = (values[~learnt] @ weights).sign() == sides[~learnt]
    return np.asarray(told.double().numpy())


def _scaled(values: torch.Tensor) -> torch.Tensor:
    """Return columns of mean 0 and deviation 1, cut at 5 deviations; those that don't vary as 0."""
    centred = values - values.mean(0)
    deviation = centred.square().mean(0).sqrt()
    return (centred / torch.where(deviation > 1e-12, deviation, 1.0)).clamp(-5, 5)
