"""One measure on training and on validation data, and what lies between."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.statistics import Interval, examples_to_settle, mean_interval, welch_interval
from auditor.core.values import Array
from auditor.observations.contest import has_entropies
from auditor.observations.continued import Continued
from auditor.observations.losses import Losses
from auditor.observations.performance import Performance
from auditor.observations.targets import best_constant_score, constant_entropies

SURE = 0.99
"""Confidence with which a gap is shown."""

FEWEST = 20
"""Examples of each split below which the gap between them is not judged."""

FEWEST_BATCHES = 6
"""The same of batches, where only the losses of whole batches are known."""


@dataclass(frozen=True)
class Sides:
    """One measure of single examples (or batches) on both splits, [examples] each.

    `higher` tells whether more is better. `unit` is what the gap is counted in: of accuracy the
    error of the best constant answer, 1 - its accuracy; of errors of numbers, which are divided by
    those of each split's own best constant already, 1; of losses of whole batches what the model
    has learnt, the loss of a fresh model less its own on training data. `constant` is the
    validation score of that constant answer or fresh model.
    """

    name: str
    higher: bool
    train: Array
    val: Array
    constant: float
    unit: float

    @property
    def gap(self) -> float:
        """Return how much worse validation is, in units."""
        return self._signed(float(self.train.mean() - self.val.mean())) / self.unit

    def interval(self, confidence: float = SURE) -> Interval:
        """Return Welch's interval of the gap."""
        better, worse = (self.train, self.val) if self.higher else (self.val, self.train)
        low, high = welch_interval(better, worse, confidence)
        return low / self.unit, high / self.unit

    def carried(self) -> Interval:
        """Return the 99 % interval of what validation is better by than the constant, in units."""
        low, high = mean_interval(self.val, SURE)
        ends = sorted(self._signed(end - self.constant) / self.unit for end in (low, high))
        return ends[0], ends[1]

    def to_settle(self, limit: float) -> int | None:
        """Return how many examples of each split would tell the gap from a limit."""
        fewest = min(len(self.train), len(self.val))
        return examples_to_settle(fewest, self.gap, *self.interval(), limit)

    def _signed(self, difference: float) -> float:
        return difference if self.higher else -difference


def sides_of(train: Performance, val: Performance, unseen: Array) -> Sides | str:
    """Return the metric of the task on both splits, or why it can't be compared.

    Only validation examples count that are `unseen` [validation examples] in training.
    """
    own, other = np.asarray(train.scores, float), np.asarray(val.scores, float)[unseen]
    fewest = min(len(own), len(other))
    if fewest < FEWEST:
        split = "training" if len(own) == fewest else "validation"
        return f"the gap is judged from {FEWEST} examples of each split on, {split} has {fewest}"
    if not (np.isfinite(own).all() and np.isfinite(other).all()):
        return "some scores are not finite"
    best = best_constant_score(val)
    if val.metric == "accuracy":
        error = 1 - best
        if not error > 0:
            return "always the same answer is right for every validation example"
        return Sides("accuracy", True, own, other, best, error)
    base = best_constant_score(train)
    if not (base > 0 and best > 0):
        return "what a constant answer gets is not known"
    return Sides(f"{val.metric} over a constant's", False, own / base, other / best, 1.0, 1.0)


def batch_sides(train: Losses, val: Losses, continued: Continued | None) -> Sides | str:
    """Return the losses of whole batches on both splits, or why they can't be compared.

    What counts as one is how much a fresh model loses more than this one does in training.
    """
    own, other = np.asarray(train.values, float), np.asarray(val.values, float)
    fewest = min(len(own), len(other))
    if fewest < FEWEST_BATCHES:
        return (
            "no standard metric applies, and losses of whole batches are compared from "
            f"{FEWEST_BATCHES} of each split on, there are {fewest}"
        )
    if not (np.isfinite(own).all() and np.isfinite(other).all()):
        return "some losses are not finite"
    fresh = float(continued.fresh) if continued is not None else math.nan
    if not math.isfinite(fresh):
        return (
            "no standard metric applies, and without the loss of a fresh model it is not known how "
            "much was learnt"
        )
    learnt = fresh - float(own.mean())
    if not learnt > 0:
        return "no standard metric applies, and a fresh model loses no more than this one"
    return Sides("loss", False, own, other, fresh, learnt)


@dataclass(frozen=True)
class Surprise:
    """The mean cross-entropy in nats of both splits, beside that of the best constant.

    `worse` is the 99 % interval of what validation loses more than the constant does on the same
    examples. `targets` is how many targets an example has.
    """

    train: float
    train_ends: Interval
    val: float
    val_ends: Interval
    constant: float
    worse: Interval
    targets: float

    @property
    def spoilt(self) -> bool:
        """Tell whether validation is worse than a constant beyond doubt, training far better."""
        return self.worse[0] > 0 and self.train < self.constant / 2


def surprise_of(train: Performance, val: Performance, unseen: Array) -> Surprise | None:
    """Return the cross-entropies of both splits, None where outputs are no class scores."""
    if not (has_entropies(train) and has_entropies(val)) or not unseen.sum() > 1:
        return None
    own, other = np.asarray(train.entropies, float), np.asarray(val.entropies, float)[unseen]
    constant = constant_entropies(val)[unseen]
    return Surprise(
        float(own.mean()),
        mean_interval(own),
        float(other.mean()),
        mean_interval(other),
        float(constant.mean()),
        mean_interval(other - constant, SURE),
        float(np.sum(val.target_count)) / max(1, val.examples),
    )


def perplexity(nats: float) -> float:
    """Return exp of a cross-entropy, infinite where that is too large."""
    return math.exp(nats) if nats < 700 else math.inf
