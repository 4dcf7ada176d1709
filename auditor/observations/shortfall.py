"""How far fresh copies, and the checkpoint, stay behind a linear model on training data."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.statistics import examples_to_settle, paired_bootstraps
from auditor.core.values import Array
from auditor.observations.baselines import SimpleModels
from auditor.observations.capacity import Capacity
from auditor.observations.performance import Performance

SURE = 0.99
"""Confidence with which something is said to be behind."""

FEWEST = 20
"""Training examples below which the checkpoint is not set beside a linear model."""


@dataclass(frozen=True)
class Shortfall:
    """How far a score is behind a linear model's on the same examples, in a constant's errors.

    [low, high] is the interval of 99 % confidence of its `value`. `best` and `linear` are the
    scores.
    """

    best: float
    linear: float
    value: float
    low: float
    high: float
    examples: int

    def needed(self, limit: float) -> int | None:
        """Return how many examples would tell it from the limit, were its value to stay."""
        return examples_to_settle(self.examples, self.value, self.low, self.high, limit)


def best_copy(found: Capacity) -> Array:
    """Return the scores of the copy that fits most, of those that were trained longer, too."""
    copies = np.asarray(found.true_scores, float)
    longer = np.asarray(found.longer_scores, float)
    every = np.vstack([copies, longer[None]]) if longer.size else copies
    means = every.mean(axis=1)
    return np.asarray(every[int(means.argmax() if found.metric == "accuracy" else means.argmin())])


def of_copies(found: Capacity, rng: np.random.Generator) -> Shortfall:
    """Return how far the copy that fits most is behind the linear model."""
    linear = np.asarray(found.linear_scores, float)
    return _behind(best_copy(found), linear, found, rng)


def of_checkpoint(
    train: Performance | None,
    simple: SimpleModels | None,
    found: Capacity,
    rng: np.random.Generator,
) -> Shortfall | None:
    """Return how far the checkpoint is behind on the training data, None where it can't be told."""
    if train is None or simple is None or train.metric != found.metric:
        return None
    own = np.asarray(train.scores, float)
    linear = np.asarray(simple.models[0].train_scores, float)
    if len(linear) != len(own) or len(own) < FEWEST:
        return None
    return _behind(own, linear, found, rng)


def _behind(own: Array, linear: Array, found: Capacity, rng: np.random.Generator) -> Shortfall:
    better, worse = (linear, own) if found.metric == "accuracy" else (own, linear)
    ((low, high),) = paired_bootstraps(better, worse, rng, (SURE,))
    error = found.constant_error if found.constant_error > 0 else math.nan
    value = float(better.mean() - worse.mean())
    ends = value / error, low / error, high / error
    return Shortfall(float(own.mean()), float(linear.mean()), *ends, len(own))
