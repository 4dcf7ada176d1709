"""How much better or worse a model does than in an earlier audit, by the scores of examples."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from auditor.core.scores import ExampleScores
from auditor.core.statistics import (
    UNKNOWN,
    clopper_pearson,
    mean_interval,
    paired_bootstraps,
    paired_ratio,
    welch_interval,
)
from auditor.core.values import Array, Number
from auditor.observations.example_scores import Pairs

FEWEST = 30
"""Examples below which nothing is said of a difference."""

SURE = 0.99
"""That a difference is there, over all that are looked at together."""

TOLD = 0.95

POWER = 0.8
"""How often a difference is found that is called one which could have been seen."""


@dataclass(frozen=True)
class Change:
    """By how much a quantity is worse now, below zero where it is better.

    Of an accuracy that is the fall of its mean; of an error or a loss its rise, as a share of what
    it was. It lies in [low, high] at 95 % and in [least, most] for sure. `visible` is the change
    that would have been seen four times in five.
    """

    name: str
    before: Number
    after: Number
    worse: Number
    low: Number
    high: Number
    least: Number
    most: Number
    visible: Number
    relative: bool


def of_scores(
    before: ExampleScores, after: ExampleScores, pairs: Pairs | None, rng: np.random.Generator
) -> tuple[Change, ...]:
    """Return the change of the metric and, where there are losses beside it, of the loss.

    It is measured on the pairs, or on all examples of both where there are none.
    """
    both = len(before.losses) == len(before.scores) and len(after.losses) == len(after.scores)
    tests = 2 if both else 1
    confidence = 1 - (1 - SURE) / tests
    scores = _chosen(before.scores, after.scores, pairs)
    if after.higher_is_better:
        found = [_fall(after.metric, *scores, pairs is not None, rng, confidence)]
    else:
        found = [_rise(after.metric, *scores, pairs is not None, confidence)]
    if both:
        losses = _chosen(before.losses, after.losses, pairs)
        found.append(_rise("cross-entropy", *losses, pairs is not None, confidence))
    return tuple(found)


def _chosen(before: Array, after: Array, pairs: Pairs | None) -> tuple[Array, Array]:
    one, other = np.asarray(before, float), np.asarray(after, float)
    if pairs is None:
        return one, other
    one, other = one[pairs.before], other[pairs.after]
    # Another order of the sums, as in batches of another size, is no change.
    return one, np.where(np.isclose(one, other, rtol=1e-4, atol=1e-6), one, other)


def _fall(
    name: str,
    before: Array,
    after: Array,
    paired: bool,
    rng: np.random.Generator,
    confidence: float,
) -> Change:
    worse = float(before.mean() - after.mean())
    if paired:
        told, sure = paired_bootstraps(before, after, rng, (TOLD, confidence))
        if not _signs_agree(before - after, confidence):
            sure = min(sure[0], 0.0), max(sure[1], 0.0)
    else:
        told, sure = (welch_interval(before, after, level) for level in (TOLD, confidence))
    visible = _visible(_error(before, after, paired), confidence)
    mean = float(before.mean()), float(after.mean())
    return Change(name, *mean, worse, *told, *sure, visible, relative=False)


def _signs_agree(differences: Array, confidence: float) -> bool:
    """Tell whether gains and losses are surely not equally many: McNemar's test, exactly.

    It guards against a bootstrap of a few examples that differ.
    """
    lost, won = int((differences > 0).sum()), int((differences < 0).sum())
    low, high = clopper_pearson(lost, lost + won, confidence)
    return lost + won > 0 and not low <= 0.5 <= high


def _rise(name: str, before: Array, after: Array, paired: bool, confidence: float) -> Change:
    mean = float(before.mean()), float(after.mean())
    if not (mean[0] > 0 and math.isfinite(mean[0] + mean[1])):
        return _beyond_bounds(name, *mean)
    worse = mean[1] / mean[0] - 1
    if np.array_equal(before, after):
        return Change(name, *mean, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, relative=True)
    if paired:
        told, sure = (paired_ratio(after, before, level) for level in (TOLD, confidence))
        told, sure = ((low - 1, high - 1) for low, high in (told, sure))
    else:
        gaps = (welch_interval(after, before, level) for level in (TOLD, confidence))
        told, sure = ((low / mean[0], high / mean[0]) for low, high in gaps)
    visible = _visible(_error(before, after, paired), confidence) / mean[0]
    return Change(name, *mean, worse, *told, *sure, visible, relative=True)


def _beyond_bounds(name: str, before: float, after: float) -> Change:
    """Return the change of a mean that was zero, or of one that was or is infinite."""
    if before == after:
        worse, end = 0.0, 0.0
    elif math.isfinite(before) and math.isfinite(after):
        return Change(name, before, after, math.inf, *UNKNOWN, *UNKNOWN, math.inf, relative=True)
    else:
        worse = end = math.inf if math.isfinite(before) else -math.inf
    return Change(name, before, after, worse, end, end, end, end, math.inf, relative=True)


def _error(before: Array, after: Array, paired: bool) -> float:
    """Return the standard error of the difference of the means."""
    if paired:
        return float((before - after).std(ddof=1)) / math.sqrt(len(before))
    return math.hypot(*(float(x.std(ddof=1)) / math.sqrt(len(x)) for x in (before, after)))


def _visible(error: float, confidence: float) -> float:
    """Return the difference that a test of this error finds four times in five."""
    normal = NormalDist()
    return error * (normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(POWER))


def mean_with_interval(scores: Array) -> tuple[float, float, float]:
    """Return a mean of scores with its 95 % interval, exact where they are right or wrong."""
    values = np.asarray(scores, float)
    if np.isin(values, (0, 1)).all():
        low, high = clopper_pearson(int(values.sum()), len(values))
        return float(values.mean()), low, high
    return float(values.mean()), *mean_interval(values)


@dataclass(frozen=True)
class ClassChange:
    """The change of the score in one class: above zero where it is better, with its interval."""

    label: int
    examples: int
    change: Number
    low: Number
    high: Number


def by_class(
    before: ExampleScores, after: ExampleScores, pairs: Pairs, tests_share: float = 0.01
) -> tuple[ClassChange, ...]:
    """Return the change in each class over pairs, the worst first; empty where not known."""
    if len(after.classes) != len(after.scores) or not pairs.count:
        return ()
    classes = np.asarray(after.classes)[pairs.after]
    gain = (
        np.asarray(after.scores, float)[pairs.after]
        - np.asarray(before.scores, float)[pairs.before]
    )
    labels = np.unique(classes)
    found = []
    for label in labels.tolist():
        own = gain[classes == label]
        low, high = mean_interval(own, 1 - tests_share / len(labels))
        found.append(ClassChange(label, len(own), float(own.mean()), low, high))
    return tuple(sorted(found, key=lambda one: (one.change, one.label)))


@dataclass(frozen=True)
class Example:
    """An example that both audits scored, by its number in this one."""

    number: int
    before: Number
    after: Number
    loss_before: Number
    loss_after: Number


def fallen(before: ExampleScores, after: ExampleScores, pairs: Pairs, most: int) -> list[Example]:
    """Return the examples that got worst, worst first: by the score, then by the loss."""
    scores = _chosen(before.scores, after.scores, pairs)
    sign = 1.0 if after.higher_is_better else -1.0
    drop = sign * (scores[0] - scores[1])
    losses = scores
    if len(before.losses) and len(after.losses):
        losses = _chosen(before.losses, after.losses, pairs)
    order = np.lexsort((pairs.after, losses[0] - losses[1], -drop))
    return [
        Example(
            int(pairs.after[row]),
            float(scores[0][row]),
            float(scores[1][row]),
            float(losses[0][row]),
            float(losses[1][row]),
        )
        for row in order[:most].tolist()
        if drop[row] > 0
    ]
