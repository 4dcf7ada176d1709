"""Gradients of pieces of data at one set of weights, on a copy."""

import math
from dataclasses import replace

import numpy as np
import torch

from auditor.core.request import Split, Unavailable
from auditor.experiments.examples import gathered, mixed
from auditor.experiments.gradient_sketch import Sketch
from auditor.experiments.lab import affordable, halving, in_parts, private_copy, with_note
from auditor.intake.batches import Batch
from auditor.intake.modes import keep_statistics
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.gradient_noise import (
    BATCHES,
    EXAMPLES,
    PIECES,
    GradientNoise,
    GradientNoiseFrom,
)

FEWEST = 4
"""Pieces below which nothing could be said of their scatter."""

SHARE = 8
"""Part of an experiment's budget that one set of weights may spend: there are two of them."""

UNTOUCHED = "the gradient is exactly zero on every piece of data"


def gradient_noise(request: GradientNoiseFrom, subject: Subject) -> GradientNoise | Unavailable:
    """Return the inner products of the gradients of pieces of data."""
    assert subject.model is not None
    if request.start == "checkpoint" and not any(
        p.requires_grad for p in subject.model.parameters()
    ):
        return Unavailable("the model has no trainable parameters")
    seed = derived_seed(subject.seed, "gradient noise")

    def attempt(fraction: float) -> GradientNoise | Unavailable:
        with seeded(seed), torch.enable_grad():
            pieces, note = _pieces(request, subject, fraction)
            if len(pieces) < FEWEST:
                return Unavailable(_too_few(subject, pieces))
            made = _measured(request, subject, pieces, seed)
        return replace(made, note=note) if isinstance(made, GradientNoise) else made

    def whole() -> GradientNoise | Unavailable:
        return with_note(*halving(attempt))

    return in_parts(subject, whole)


def _pieces(
    request: GradientNoiseFrom, subject: Subject, fraction: float
) -> tuple[list[Batch], str]:
    """Return pieces of equal size, and what had to be done differently.

    A custom task may set the examples of a batch against one another: its batches stay whole, as
    do those that can't be joined.
    """
    split: Split = "train" if request.split == "train" else "val"
    largest = max(1, subject.facts.data[split].batch_size)
    custom = subject.facts.task == "custom"
    wanted = PIECES if custom else max(math.ceil(EXAMPLES / largest), BATCHES)
    pool = gathered(subject, split, wanted) if not custom else []
    if len(pool) == 1 and not custom:
        whole = pool[0]
        size = max(1, whole.size // PIECES)
        if whole.size < 2 * PIECES:
            # Two examples a piece where there are enough of them, for batch norm's sake.
            size = 2 if whole.size >= 2 * FEWEST else 1
        # As many rounds of one example a piece as the budget allows.
        afforded = max(1, int(affordable(subject, size, PIECES, SHARE) * fraction))
        count = max(FEWEST, affordable(subject, PIECES, afforded, SHARE))
        pieces = [piece for piece in mixed([whole], afforded) if piece.size == afforded]
        note = f"only {afforded} of {size} examples a piece could be afforded"
        return pieces[:count], note if afforded < size else ""
    count = max(FEWEST, affordable(subject, PIECES, largest, SHARE))
    batches = list(subject.data[split].first(count))
    sizes = [batch.size for batch in batches]
    usual = max(set(sizes), key=lambda size: (sizes.count(size), size), default=0)
    kept = [batch for batch in batches if batch.size == usual]
    if fraction < 1:
        kept = [batch.take(max(1, int(usual * fraction))) for batch in kept]
    return kept, "batches were taken whole, as they can't be mixed"


def _too_few(subject: Subject, pieces: list[Batch]) -> str:
    if pieces and subject.facts.task == "custom":
        return (
            f"a custom task's batches are not taken apart, and {len(pieces)} of equal size leave "
            f"no scatter to measure; {FEWEST} are needed"
        )
    return f"{len(pieces)} pieces of data leave no scatter to measure; {FEWEST} are needed"


def _measured(
    request: GradientNoiseFrom, subject: Subject, pieces: list[Batch], seed: int
) -> GradientNoise | Unavailable:
    assert subject.loss is not None
    model = subject.fresh(seed) if request.start == "fresh" else private_copy(subject)
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        return Unavailable("the model has no trainable parameters")
    sketch = Sketch(parameters, seed)
    model.train()
    rows, losses = [], []
    for piece in pieces:
        batch = piece.to(subject.device)
        if batch.size == 1:
            keep_statistics(model)
        model.zero_grad(set_to_none=True)
        loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
        if not loss.requires_grad:
            return Unavailable("no gradient comes from the loss")
        loss.backward()
        rows.append(sketch.taken())
        losses.append(loss.detach())
    table = torch.stack(rows)
    biggest = float(table.abs().max())
    if not math.isfinite(biggest):
        return Unavailable("the gradient is not finite")
    if biggest == 0:
        return Unavailable(UNTOUCHED)
    # Scaled, so that the squares of tiny gradients are not lost.
    scaled = (table / biggest).double()
    products = (scaled @ scaled.T).cpu().numpy() * np.float64(biggest) ** 2
    if not (products.trace() > 0 and np.isfinite(products).all()):
        return Unavailable("the gradient is too large or too small to be squared")
    return GradientNoise(
        products=products,
        losses=torch.stack(losses).double().cpu().numpy(),
        size=pieces[0].size,
        start=request.start,
        split=request.split,
        parameters=sum(p.numel() for p in parameters),
        width=sketch.width if sketch.folded else 0,
    )
