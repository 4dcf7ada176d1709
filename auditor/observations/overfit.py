"""Attempts to learn a few examples by heart."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

FEW, BATCH = 2, 16
"""Examples in the small and in the large set that a model has to learn by heart."""

LONG = 3
"""How many times longer the last attempt is, made where no other came to its end."""

RATES = (1e-3, 1e-2, 1e-4)
"""Learning rates of Adam, in the order in which they are tried."""

RESCUES = (0.1, 0.01, 0.001)
"""Factors of the declared learning rate that are tried where it fails and Adam does not."""

SCORED = 8
"""Batches of validation data that a model is scored on, untrained or once it knows two examples."""

SURE = 0.99
"""Confidence with which it is said that a model knows more than it was shown."""

KNOWING = 0.5
"""Share of what a model can't know from which on it is said to know it."""


def knowing(known: float) -> float:
    """Return the share right beyond which a model knows more than the share that it may."""
    return known + KNOWING * (1 - known)


def seeds_for(outputs: int | None) -> int:
    """Return how many fresh models have to know a task before it can't be luck.

    A model whose answers are turned round by one class, by two and so on is as likely to be
    drawn as itself, and the shares right of all of these add up to one: so a fresh model that
    knows nothing gets more than half right with a probability of 1 / outputs at most.
    """
    return math.ceil(math.log(1 - SURE) / -math.log(max(2, outputs or 2)))


@dataclass(frozen=True)
class Fit:
    """One attempt from fresh weights: full-batch steps on `examples` examples, dropout off.

    `factor` is how many times the declared learning rate was used, NaN for another optimizer.
    `losses` [steps] are those before each step. `floor` is the least loss that any model can have
    on these examples and `near` what counts as reaching it; `constant` is the loss of the best
    constant answer, NaN where it is not known. `accuracy` is the share of targets predicted right
    in the end and `best_accuracy` the largest possible one, both NaN where nothing is classified.
    """

    seed: int
    examples: int
    optimizer: str
    factor: Number
    losses: Array
    floor: Number
    near: Number
    constant: Number
    accuracy: Number
    best_accuracy: Number
    reached: bool

    @property
    def declared(self) -> bool:
        """Tell whether this was the declared optimizer at its declared learning rate."""
        return self.factor == 1.0

    @property
    def known(self) -> bool:
        """Tell whether all that is to be known of the targets was learnt."""
        return not np.isnan(self.accuracy) and self.accuracy >= self.best_accuracy - 1e-6

    @property
    def finite(self) -> bool:
        """Tell whether every loss is finite."""
        return bool(np.isfinite(np.asarray(self.losses, float)).all())

    @property
    def last(self) -> float:
        """Return the last loss."""
        return float(self.losses[-1]) if len(self.losses) else float("nan")

    @property
    def way(self) -> float:
        """Return how much of the way to the floor was gone: from a constant, else the start."""
        start = self.losses[0] if np.isnan(self.constant) else self.constant
        span = float(start) - self.floor
        if not (self.finite and len(self.losses)) or span <= 0:
            return 0.0
        return max(0.0, (float(start) - self.last) / span)

    @property
    def steady(self) -> bool:
        """Tell whether nine in ten of the later steps made the loss smaller."""
        later = np.diff(np.asarray(self.losses, float)[len(self.losses) // 2 :])
        return self.finite and later.size > 0 and bool((later < 0).mean() >= 0.9)

    @property
    def fall(self) -> float:
        """Return the share of its first loss that was taken off."""
        if not (len(self.losses) and self.finite and self.losses[0]):
            return 0.0
        return (float(self.losses[0]) - self.last) / abs(float(self.losses[0]))

    @property
    def falling(self) -> bool:
        """Tell whether the last quarter still took a twentieth off what was left."""
        losses = np.asarray(self.losses, float)
        quarter = len(losses) // 4
        if quarter < 2 or not self.finite:
            return False
        half, left = quarter // 2, losses - self.floor
        earlier = left[-quarter - half : -quarter]
        return bool(left[-half:].mean() < 0.95 * earlier.mean())


@dataclass(frozen=True)
class Unshown:
    """What fresh models get right of some validation `examples` before their first step.

    `accuracies` has the share right of each, of `seeds_for` models or until one does not know
    the task; `common` is the share of the commonest class. Where all know it, `alike` tells
    whether the factory's weights are the same for another seed, and `trained` whether they are
    those of the audited model.
    """

    accuracies: tuple[Number, ...]
    examples: int
    common: Number
    alike: bool
    trained: bool


@dataclass(frozen=True)
class OverfitTrials:
    """All attempts, those on the large set from the first weights first.

    `few` and `many` are the examples of the two sets. `floor` says in words what was taken as the
    floor of the large one, `floor_known` whether that is a number. `values` is the number of target
    values in the large set, and `parameters` that of trainable weights. `tensors` is the number of
    trainable parameter tensors; `silent` names those that get no gradient from the large set in a
    fresh model, `silent_after` those that get none after the first weights' last attempt, and
    `silent_share` the share of trainable weights that get none either time. `cut_off` names those
    of the silent ones that the loss hangs on all the same. `probabilities` tells whether the
    outputs of a fresh model are positive and sum to one; it is looked at only where no attempt
    succeeded. `instead` says why the optimizer is not the declared one.

    `read` examples were looked at, `different` of which have inputs of their own; `labels` is the
    number of different targets among all. `validation` [examples] is the accuracy on validation
    examples of models that know the small set alone, and `shown` the share of these examples whose
    class is in it; empty and NaN where that was not measured. `unshown` is what models know that
    were shown nothing, None where that was not measured.
    """

    fits: tuple[Fit, ...]
    floor: str
    few: int
    many: int
    values: int
    parameters: int
    tensors: int
    silent: tuple[str, ...]
    silent_after: tuple[str, ...]
    silent_share: Number
    cut_off: tuple[str, ...]
    probabilities: bool
    outputs: int | None
    loss: str
    optimizer: str
    learning_rate: Number
    instead: str
    clipped: bool
    read: int
    different: int
    labels: int
    validation: Array
    shown: Number
    unshown: Unshown | None
    split: str
    floor_known: bool = True

    def on(self, examples: int) -> dict[int, list[Fit]]:
        """Return the attempts on the set of so many examples, by the number of their seed.

        Those at other rates of the declared optimizer are left out: they only explain.
        """
        found: dict[int, list[Fit]] = {}
        for fit in self.fits:
            if fit.examples == examples and (np.isnan(fit.factor) or fit.declared):
                found.setdefault(fit.seed, []).append(fit)
        return found

    @property
    def best(self) -> Fit:
        """Return the attempt on the large set that came nearest to the floor."""
        return _nearest(fit for fit in self.fits if fit.examples == self.many)

    @property
    def rest_falling(self) -> bool:
        """Tell whether the loss still fell of each fresh model that did not come to know a set."""
        nearest = [
            _nearest(fits) for count in (self.few, self.many) for fits in self.on(count).values()
        ]
        return all(fit.reached or fit.falling for fit in nearest)


def _nearest(fits: Iterable[Fit]) -> Fit:
    """Return the attempt that came nearest to the floor."""
    return max(fits, key=lambda fit: (fit.reached, fit.known, fit.way, fit.fall))


@dataclass(frozen=True)
class OverfitTrialsOver(Request[OverfitTrials]):
    """Asks for attempts to learn 2 and 16 examples by heart, from several fresh weights.

    An attempt takes so many steps at most, the last one `LONG` times as many.
    """

    seeds: int = 3
    steps: int = 200
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = OverfitTrials
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory", "loss"})
    scaled: ClassVar = ("seeds",)
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of all attempts, none of which succeeds before its end."""
        recipes = 1 + len(RATES)
        first = recipes + LONG + len(RESCUES)
        others = (2 * self.seeds - 1) * (recipes - 1 + LONG)
        steps = (first + others) * self.steps
        return Cost(steps + 2 + SCORED * (self.seeds + seeds_for(None)), steps + 2)
