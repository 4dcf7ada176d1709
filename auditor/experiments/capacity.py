"""What fresh copies of the model fit: true targets, and the same targets dealt at random."""

import math
from dataclasses import replace

import numpy as np
import torch

from auditor.core.request import Unavailable
from auditor.core.statistics import geometric_interval
from auditor.core.values import Array
from auditor.experiments.beside_linear import beside_linear
from auditor.experiments.examples import joined, moved
from auditor.experiments.fresh_copies import scored_copy, tail, trained_copy
from auditor.experiments.lab import affordable, halving
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.capacity import (
    AGAIN,
    BATCHES,
    FEW_SEEDS,
    LONGER,
    RATES,
    TRIED,
    Capacity,
    CapacityOver,
)
from auditor.observations.targets import best_constant_score

FEWEST = 8
"""Examples that there must be for dealing their targets anew to mean anything."""

SHORTEST = 60
"""Steps that a run must be allowed at least for its losses to tell anything."""

MANY = 10
"""Parameters a target from which on random targets are tried with all seeds."""

SLOW = 2.0
"""Times as long as for true targets at which random ones are surely not learnt as fast."""

LEAST_BATCHES = 4
"""Batches that a few examples are divided into, so that a step on them costs less."""

SMALL = 16
"""Examples that a batch has at least where there are as many."""

MOST_TARGETS = 4096
"""Targets that copies are trained on at most, as long as that leaves them all their batches: each
place of a sequence or a picture is one, so fewer of these examples say as much."""


def capacity(request: CapacityOver, subject: Subject) -> Capacity | Unavailable:
    """Train fresh copies on a few training examples, with their own and with others' targets."""
    assert subject.model is not None
    if not any(p.requires_grad for p in subject.model.parameters()):
        return Unavailable("the model has no trainable parameters")

    def attempt(fraction: float) -> Capacity | Unavailable:
        with seeded(derived_seed(subject.seed, request.key)):
            most = min(request.examples, _enough(subject))
            batches = _gathered(subject, max(FEWEST, int(most * fraction)))
            if sum(batch.size for batch in batches) < FEWEST or not _finite(batches):
                return Unavailable(
                    f"fewer than {FEWEST} training examples whose inputs are finite were found"
                )
            return _measured(request, subject, batches)

    found, note = halving(attempt)
    return replace(found, note=note) if isinstance(found, Capacity) else found


def _measured(
    request: CapacityOver, subject: Subject, batches: list[Batch]
) -> Capacity | Unavailable:
    largest = max(batch.size for batch in batches)
    known = subject.facts.data["train"]
    share = known.batches_read / known.batches
    targets = max(1, round(known.targets.values / share))
    many = subject.facts.trainable >= MANY * targets
    seeds, steps = _afforded(request, subject, largest, many=many)
    if steps < min(SHORTEST, request.steps):
        return Unavailable(
            f"a step of this model is too costly: only {steps} of {SHORTEST} steps could be spent"
        )
    left = affordable(subject, request.all_steps, largest) - (2 * seeds + len(RATES)) * steps
    first = derived_seed(subject.seed, "capacity 0")
    rate = min(RATES, key=lambda each: tail(trained_copy(subject, batches, first, each, TRIED)[1]))
    answer = Capacity(
        parameters=subject.facts.trainable,
        frozen=subject.facts.parameters - subject.facts.trainable,
        examples=round(known.examples / share),
        targets=targets,
        all_counted=known.complete or share < 1,
        subset=sum(batch.size for batch in batches),
        rate=rate,
        metric="",
        true=np.zeros((0, 0)),
        random=np.zeros((0, 0)),
        true_scores=np.zeros((0, 0)),
        random_scores=np.zeros((0, 0)),
        linear_scores=np.zeros(0),
        linear_parameters=0,
        linear_missing="",
        constant_error=math.nan,
        longer_scores=np.zeros(0),
        longer=np.zeros(0),
        out_of_reach=False,
    )
    answer = _with_curves(subject, batches, answer, seeds, steps)
    if many and _open(answer):
        longer = min(AGAIN * steps, left // (2 * seeds))
        if longer > steps:
            answer = _with_curves(subject, batches, answer, seeds, longer)
            left -= 2 * seeds * longer
    return beside_linear(subject, batches, answer, max(0, min(LONGER, left // len(RATES))))


def _afforded(
    request: CapacityOver, subject: Subject, largest: int, *, many: bool
) -> tuple[int, int]:
    """Return the number of seeds and of steps; steps are saved before seeds are."""
    for seeds in (request.seeds, 0) if many else (0,):
        seeds = max(seeds, FEW_SEEDS)
        steps = affordable(subject, request.steps, largest, 2 * seeds + len(RATES))
        if steps >= min(SHORTEST, request.steps):
            break
    return seeds, steps


def _open(answer: Capacity) -> bool:
    """Tell whether random targets, not learnt as yet, may turn out to be learnt as fast."""
    _, low, _ = geometric_interval(answer.slowness())
    return not answer.learnt and low < SLOW


def _slower(answer: Capacity, curves: dict[bool, list[Array]]) -> bool:
    """Tell whether random targets are surely learnt so slowly that no more seeds need say so.

    Looking early only ever clears a model: it makes no false alarm.
    """
    so_far = replace(answer, true=_table(curves[True]), random=_table(curves[False]))
    _, low, _ = geometric_interval(so_far.slowness())
    return low >= SLOW


def _with_curves(
    subject: Subject, batches: list[Batch], answer: Capacity, seeds: int, steps: int
) -> Capacity:
    """Return the answer with what copies fit of true and random targets in so many steps."""
    curves: dict[bool, list[Array]] = {True: [], False: []}
    scores: dict[bool, list[Array]] = {True: [], False: []}
    for number in range(seeds):
        if number == FEW_SEEDS and _slower(answer, curves):
            break
        seed = derived_seed(subject.seed, f"capacity {number}")
        with seeded(seed):
            dealt = [batch.with_inputs_of(moved(batch.size)) for batch in batches]
        for true, data in ((True, batches), (False, dealt)):
            model, losses = trained_copy(subject, data, seed, answer.rate, steps)
            curves[true].append(losses)
            seen = scored_copy(subject, model, data)
            if seen is None:
                continue
            scores[true].append(seen.scores)
            best = best_constant_score(seen)
            error = 1 - best if seen.metric == "accuracy" else best
            answer = replace(answer, metric=seen.metric, constant_error=error)
    return replace(
        answer,
        true=_table(curves[True]),
        random=_table(curves[False]),
        true_scores=np.asarray(scores[True] or np.zeros((0, 0))),
        random_scores=np.asarray(scores[False] or np.zeros((0, 0))),
    )


def _enough(subject: Subject) -> int:
    """Return how many examples hold as many targets as copies have to be trained on."""
    known = subject.facts.data["train"]
    each = max(1, known.targets.values // max(1, known.examples))
    return max(LEAST_BATCHES * SMALL, MOST_TARGETS // each)


def _gathered(subject: Subject, most: int) -> list[Batch]:
    """Return the first training examples, in at most `BATCHES` batches of two or more each."""
    batches: list[Batch] = []
    left = most
    for batch in subject.batches("train", most):
        batches.append(batch.take(left))
        left -= batches[-1].size
        if left <= 0:
            break
    usual, count = subject.facts.data["train"].batch_size, sum(batch.size for batch in batches)
    size = min(usual, 64, max(SMALL, math.ceil(count / LEAST_BATCHES)))
    size = max(4, size, math.ceil(count / BATCHES))
    whole = joined(batches)
    pieces = batches if whole is None else [whole]
    pieces = [b.rows(rows) for b in pieces for rows in torch.arange(b.size).split(size)]
    return [batch for batch in pieces if batch.size > 1][:BATCHES]


def _finite(batches: list[Batch]) -> bool:
    return all(
        bool(t.isfinite().all())
        for batch in batches
        for t in tensors_in((batch.args, batch.kwargs))
        if t.is_floating_point() and t.layout is torch.strided
    )


def _table(rows: list[Array]) -> Array:
    """Return the curves as one table, NaN where a run was lost."""
    longest = max(len(row) for row in rows)
    table = np.full((len(rows), longest), np.nan)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table
