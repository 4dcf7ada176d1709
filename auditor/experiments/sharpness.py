"""Changing the weights by shares of themselves: at random, uphill, layer by layer, along slices."""

from dataclasses import replace

import numpy as np

from auditor.core.request import Split, Unavailable
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.experiments.knowing_nothing import KnowsNothing, commonest
from auditor.experiments.lab import halving, with_note
from auditor.experiments.landscape import (
    HEAVY,
    MOST,
    Direction,
    Landscape,
    NoGradientError,
    NotFiniteError,
    parts_of,
)
from auditor.experiments.relative_moves import (
    by_layer,
    grouped,
    layer_of,
    noise_of,
    slices_of,
    uphill_of,
)
from auditor.intake.batches import Batch
from auditor.intake.scoring import Scorer
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.performance import Performance
from auditor.observations.sharpness import (
    ASCENT,
    LENGTHS,
    RADII,
    RANDOM,
    Sharpness,
    SharpnessOver,
)

FELT = 0.25
"""Share lost of what was learnt at which it is asked which layer loses it."""

FEWEST = 3
"""Batches that a model of very many parameters is tried on."""


def sharpness(request: SharpnessOver, subject: Subject) -> Sharpness | Unavailable:
    """Return the losses around the checkpoint."""
    seed = derived_seed(subject.seed, request.key)

    def attempt(fraction: float) -> Sharpness | Unavailable:
        with seeded(seed):
            return _measured(request, subject, seed, fraction)

    return with_note(*halving(attempt))


def _measured(
    request: SharpnessOver, subject: Subject, seed: int, fraction: float
) -> Sharpness | Unavailable:
    split: Split = "val" if request.split == "val" else "train"
    passes = request.cost({split: 1})
    heavy = subject.facts.trainable > HEAVY
    parts = parts_of(
        subject,
        split,
        (min(request.batches, FEWEST) if heavy else request.batches) + ASCENT[0],
        passes.forwards + 2 * passes.backwards,
        halved=True,
    )
    if isinstance(parts, Unavailable):
        return parts
    batches = [batch.share(fraction) for batch in parts.batches]
    few = len(batches) <= ASCENT[0]
    here, uphill = (batches, batches) if few else (batches[: -ASCENT[0]], batches[-ASCENT[0] :])
    landscape = Landscape(subject, batches[0], seed, training=False)
    if not landscape.parameters:
        return Unavailable("the model has no trainable parameters")
    if landscape.numbers > MOST:
        return Unavailable(
            f"directions of {landscape.numbers:,} numbers are too many to keep in memory"
        )
    refused = landscape.refused(batches[0])
    if refused:
        return Unavailable(refused)
    try:
        worst = uphill_of(landscape, uphill)
    except (NotFiniteError, NoGradientError) as error:
        return Unavailable(str(error))
    look = _Look(subject, landscape, here, split)
    losses, scores = look.losses(), look.scores()
    if not np.isfinite(losses).all():
        return Unavailable("the loss at the checkpoint is not a finite number")
    noisy, noisy_scores = look.noisy(seed)
    climbed, climbed_scores = look.along(worst)
    chance, baseline = look.chance()
    notes = [parts.note]
    if few:
        notes.append("the worst direction was sought on the batches that it is tried on")
    found = Sharpness(
        losses=losses,
        chance=chance,
        baseline=baseline,
        noisy=noisy,
        worst=climbed,
        scores=scores,
        noisy_scores=noisy_scores,
        worst_scores=climbed_scores,
        chance_score=look.chance_score,
        layers=(),
        alone=np.zeros(0),
        alone_at=RADII[-1],
        owners=(),
        climbed=np.zeros(0),
        line=np.zeros((0, 0)),
        plane=np.zeros((0, 0)),
        parameters=landscape.numbers,
        examples=parts.examples,
        split=split,
    )
    shares = found.lost(noisy, noisy_scores).mean(axis=1)
    at = next((r for r, lost in zip(RADII, shares, strict=True) if lost >= FELT), RADII[-1])
    names, alone = look.alone(at, seed)
    owners, climbed = by_layer(landscape, worst)
    if heavy:
        notes.append("slices are left out of a model this large")
    line, plane = (found.line, found.plane) if heavy else slices_of(landscape, worst, here[0], seed)
    return replace(
        found,
        layers=names,
        alone=alone,
        alone_at=at,
        owners=owners,
        climbed=climbed,
        line=line,
        plane=plane,
        note="; ".join(note for note in notes if note),
    )


class _Look:
    """Takes the loss and the accuracy of the same batches wherever the weights are moved."""

    def __init__(
        self, subject: Subject, landscape: Landscape, batches: list[Batch], split: Split
    ) -> None:
        self._subject, self._split = subject, split
        self._landscape, self._batches = landscape, batches
        self._nothing = KnowsNothing(subject)
        self._seen: list[Performance] = []
        self._losses: list[float] = []
        self._scores: list[float] = []
        for batch in batches:
            outputs, loss = landscape.outputs(batch)
            self._nothing.add(outputs, batch)
            performance = self._performance(outputs, batch)
            if performance is not None:
                self._seen.append(performance)
            self._losses.append(float(loss))
            self._scores.append(performance.score if performance else np.nan)
        self._scored = len(self._seen) == len(batches)
        several = subject.facts.task == "multilabel"
        self.chance_score = commonest(self._seen, several=several) if self._scored else np.nan

    def losses(self) -> Array:
        """Return the loss of each batch as it is."""
        return np.asarray(self._losses)

    def scores(self) -> Array:
        """Return the accuracy on each batch, empty where there is none."""
        return np.asarray(self._scores if self._scored else [])

    def chance(self) -> tuple[Array, str]:
        """Return the loss of each batch of answers that know nothing, and what these are."""
        losses, said = self._nothing.losses(self._landscape.of)
        return np.asarray([float(loss) for loss in losses]), said

    def noisy(self, seed: int) -> tuple[Array, Array]:
        """Return losses and accuracies with noise on all weights, [radii, batches]."""
        rows = []
        for number, batch in enumerate(self._batches):
            noise = noise_of(self._landscape, seed, number)
            row = [self._at(noise, radius, batch) for radius in RADII]
            noise = noise_of(self._landscape, seed, -1 - number)
            again = self._at(noise, RADII[RANDOM], batch)
            row[RANDOM] = tuple(np.mean([row[RANDOM], again], axis=0))
            rows.append(row)
        return self._table(rows)

    def along(self, direction: Direction) -> tuple[Array, Array]:
        """Return losses and accuracies along a direction, [lengths, batches]."""
        return self._table(
            [[self._at(direction, length, b) for length in LENGTHS] for b in self._batches]
        )

    def alone(self, radius: float, seed: int) -> tuple[tuple[str, ...], Array]:
        """Return layers, and the loss of the first batch with noise on each alone, [layers].

        Of many, neighbours are taken together, and those of the worst group then apart.
        """
        names = list(dict.fromkeys(layer_of(name) for name, _ in self._landscape.named))
        groups = grouped(names)
        losses = self._each(groups, radius, seed)
        if len(groups) < len(names):
            place = int(np.nan_to_num(losses, nan=np.inf).argmax())
            apart = grouped(groups.pop(place))
            groups = apart + groups
            losses = np.append(self._each(apart, radius, seed), np.delete(losses, place))
        shown = tuple(g[0] if len(g) == 1 else f"{g[0]} to {g[-1]}" for g in groups)
        return tuple(map(clean_text, shown)), losses

    def _each(self, groups: list[list[str]], radius: float, seed: int) -> Array:
        batch, noise = self._batches[0], noise_of(self._landscape, seed, 0)
        losses = []
        for group in map(set, groups):
            held = [
                step if layer_of(name) in group else step.new_zeros(())
                for (name, _), step in zip(self._landscape.named, noise, strict=True)
            ]
            with self._landscape.moved(held, radius):
                losses.append(float(self._landscape.loss(batch)))
        return np.asarray(losses)

    def _at(self, direction: Direction, times: float, batch: Batch) -> tuple[float, float]:
        with self._landscape.moved(direction, times):
            outputs, loss = self._landscape.outputs(batch)
        performance = self._performance(outputs, batch) if self._scored else None
        return float(loss), performance.score if performance else np.nan

    def _table(self, rows: list[list[tuple[float, float]]]) -> tuple[Array, Array]:
        losses, scores = np.moveaxis(np.asarray(rows, float), (2, 1, 0), (0, 1, 2))
        return losses, scores if self._scored else np.zeros(0)

    def _performance(self, outputs: object, batch: Batch) -> Performance | None:
        scorer = Scorer(self._subject, self._split)
        scorer.add(outputs, batch.target, None)
        found = scorer.result()
        if not isinstance(found, Performance) or found.metric != "accuracy":
            return None
        return found if found.examples else None
