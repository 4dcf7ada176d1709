"""Measuring what is claimed, from outputs and scores that the audit has anyway.

Most quantities are functions of sums over examples. These sums are drawn again, whole examples at a
time, which gives the interval; shares of independent examples have their exact one.
"""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.values import Array
from auditor.observations.claimed_classes import of_decisions
from auditor.observations.claims import Quantity
from auditor.observations.performance import Performance
from auditor.observations.predictions import Predictions
from auditor.observations.resampled import (
    Levels,
    Measured,
    by_sums,
    exact_share,
    ratio,
    through,
    unbounded,
)

FEWEST = 20
"""Examples below which nothing is said of a claim."""

AGREES = 0.01
"""Share by which the loss of a batch may differ from the mean over its examples."""


@dataclass(frozen=True)
class Evidence:
    """What there is to measure on; None where it could not be had."""

    performance: Performance | None
    predictions: Predictions | None


def measured(
    what: Quantity, seen: Evidence, confidence: float, rng: np.random.Generator
) -> Measured | str:
    """Return a quantity with its intervals, or why it can't be measured: a sentence's end."""
    levels = (0.95, confidence)
    if what.kind in ("accuracy", "error rate", "cross-entropy", "perplexity", "bits per token"):
        return _of_examples(what, seen.performance, levels, rng)
    if what.kind == "loss":
        return _loss(seen.performance, levels, rng)
    if seen.predictions is None:
        return "the outputs can't be read"
    if what.kind in ("mean squared error", "root mean squared error", "mean absolute error", "R²"):
        return _of_numbers(what, seen.predictions, levels, rng)
    return of_decisions(what, seen.predictions, levels, rng)


def _of_examples(
    what: Quantity, seen: Performance | None, levels: Levels, rng: np.random.Generator
) -> Measured | str:
    if seen is None or seen.metric != "accuracy":
        return "the task has no classes" if seen is not None else "the outputs can't be read"
    weights = _targets(seen)
    if what.kind in ("accuracy", "error rate"):
        # An answer of NaN is no right one.
        scores = np.nan_to_num(np.asarray(seen.scores, float), nan=0.0)
        values = scores if what.kind == "accuracy" else 1 - scores
        if (weights == 1).all() and np.isin(values, (0, 1)).all():
            return exact_share(int(values.sum()), len(values), levels)
        return by_sums(
            np.stack([values * weights, weights], axis=1), ratio, levels, rng, share=True
        )
    losses = np.asarray(seen.entropies, float)
    if not np.isfinite(losses).all():
        return unbounded(math.inf)
    made = by_sums(np.stack([losses * weights, weights], axis=1), ratio, levels, rng)
    if what.kind == "perplexity":
        return through(made, lambda nats: math.exp(min(nats, 700.0)))
    return through(made, lambda nats: nats / math.log(2)) if "bits" in what.kind else made


def _targets(seen: Performance) -> Array:
    """Return how many targets each example has, by which it counts."""
    counts = np.bincount(seen.target_example, seen.target_count, seen.examples)
    return np.where(counts > 0, counts, 1.0)


def _loss(seen: Performance | None, levels: Levels, rng: np.random.Generator) -> Measured | str:
    """Return the loss as the subject defines it: by examples where it is their mean."""
    if seen is None or not len(seen.losses):
        return "no loss was measured"
    losses, sizes = np.asarray(seen.losses, float), np.asarray(seen.batch_examples, float)
    if not np.isfinite(losses).all() or len(losses) != len(sizes):
        return unbounded(math.inf)
    accuracy = seen.metric == "accuracy"
    values = np.asarray(seen.entropies if accuracy else seen.scores, float)
    weights = _targets(seen) if accuracy else np.ones(len(values))
    batch = np.repeat(np.arange(len(sizes)), sizes.astype(int))
    if len(batch) == len(values) and np.isfinite(values).all():
        means = np.bincount(batch, values * weights) / np.bincount(batch, weights)
        if np.allclose(means, losses, rtol=AGREES, atol=1e-5):
            table = np.stack([values * weights, weights], axis=1)
            return by_sums(table, ratio, levels, rng)
    if len(losses) < FEWEST:
        return "the loss is no mean over examples, and there are too few batches"
    return by_sums(np.stack([losses * sizes, sizes], axis=1), ratio, levels, rng)


def _of_numbers(
    what: Quantity, seen: Predictions, levels: Levels, rng: np.random.Generator
) -> Measured | str:
    if seen.kind != "numbers":
        return "the task is no regression"
    outputs, targets = np.asarray(seen.outputs, float), np.asarray(seen.targets, float)
    if seen.loss == "poisson_nll_loss":
        outputs = np.exp(outputs)
    error = outputs - targets
    if not np.isfinite(error).all():
        return unbounded(-math.inf if what.higher_is_better else math.inf)
    if what.kind == "R²":
        width = targets.shape[1]
        shifted = targets - targets.mean(axis=0)
        table = np.concatenate(
            [np.square(error), shifted, np.square(shifted), np.ones((len(error), 1))], axis=1
        )

        def explained(sums: Array) -> Array:
            count = sums[:, -1:]
            around = sums[:, 2 * width : 3 * width] - sums[:, width : 2 * width] ** 2 / count
            with np.errstate(divide="ignore", invalid="ignore"):
                parts = np.where(around > 0, 1 - sums[:, :width] / around, np.nan)
            return np.asarray(np.nanmean(parts, axis=1))

        if not (np.square(shifted).sum(axis=0) > 0).any():
            return "the targets do not vary"
        return by_sums(table, explained, levels, rng, example=seen.example)
    values = np.abs(error) if what.kind == "mean absolute error" else np.square(error)
    table = np.stack([values.mean(axis=1), np.ones(len(values))], axis=1)
    made = by_sums(table, ratio, levels, rng, example=seen.example)
    return through(made, math.sqrt) if what.kind == "root mean squared error" else made
