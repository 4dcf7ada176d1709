"""Whether a model's classes are right in another order than the one they are given in."""

from dataclasses import dataclass

import numpy as np

from auditor.core.statistics import paired_bootstrap
from auditor.core.values import Array
from auditor.observations.predictions import Predictions

FEWEST = 20
"""Examples of each half below which no order is told from another."""

MOST = 2000
"""Classes beyond which orders are not compared: the best of them takes their number cubed."""

SURE = 0.99
"""Confidence with which another order has to be better."""


@dataclass(frozen=True)
class ClassOrder:
    """How right a model is in the order as given, and in the best other one.

    `order` [classes] tells for each answer of the model which class it seems to stand for. It was
    found on every second example; `given` and `other` [examples] are the shares of the targets of
    each of the rest that are right in either order, and `common` if each were answered by the most
    common target. `low` and `high` bound the gain of the mean at 95 %, `least` is what it is at
    least, and `knows` by how much the other order beats the most common target at least, both at
    99 %.
    """

    noun: str
    order: Array
    given: Array
    other: Array
    common: Array
    low: float
    high: float
    least: float
    knows: float

    @property
    def moved(self) -> list[tuple[int, int]]:
        """Return (answer, class) where the answer stands for another class."""
        return [(i, int(c)) for i, c in enumerate(self.order) if i != c]

    @property
    def before(self) -> float:
        """Return the share that is right in the order as given."""
        return float(self.given.mean())

    @property
    def after(self) -> float:
        """Return the share that is right in the other order."""
        return float(self.other.mean())


def class_order(seen: Predictions, rng: np.random.Generator) -> ClassOrder | str:
    """Find the best one-to-one order on half of the examples, and measure it on the others.

    The order that makes the most targets right is the assignment of answers to classes of the
    largest sum (Kuhn 1955, the Hungarian method). Returns why it could not be found where it could
    not.
    """
    if seen.kind == "numbers":
        return "the targets are numbers, which have no classes"
    answers, targets = _answers(seen)
    rows = np.isfinite(np.asarray(seen.outputs, float)).all(axis=1)
    answers, targets, example = answers[rows], targets[rows], np.asarray(seen.example)[rows]
    labels = answers.ndim > 1
    classes = answers.shape[1] if labels else max(2, seen.outputs.shape[1])
    if classes > MOST:
        return f"of {classes:,} classes not every order can be compared"
    _, example = np.unique(example, return_inverse=True)
    choosing = example % 2 == 0
    halves = [len(np.unique(example[part])) for part in (choosing, ~choosing)]
    if min(halves) < FEWEST:
        return f"{2 * FEWEST} examples are needed, {sum(halves)} were there"
    counts = _counts(answers[choosing], targets[choosing], classes, labels=labels)
    order = _best(counts)
    answers, targets, example = (part[~choosing] for part in (answers, targets, example))
    if labels:
        placed = np.empty_like(answers)
        placed[:, order] = answers
        usual = np.broadcast_to(counts.common, targets.shape)
    else:
        placed, usual = order[answers], np.full_like(targets, counts.common)
    given, other, common = (
        _by_example((a == targets).reshape(len(targets), -1).mean(axis=1), example)
        for a in (answers, placed, usual)
    )
    low, high = paired_bootstrap(other, given, rng)
    return ClassOrder(
        "label" if labels else "class",
        order,
        given,
        other,
        common,
        low,
        high,
        paired_bootstrap(other, given, rng, confidence=SURE)[0],
        paired_bootstrap(other, common, rng, confidence=SURE)[0],
    )


@dataclass(frozen=True)
class _Counts:
    """How often each answer [i] was right for each class [j], and the most common target."""

    together: Array
    common: Array


def _answers(seen: Predictions) -> tuple[Array, Array]:
    """Return the answers of the model and the targets as whole numbers.

    They are [rows], of several labels [rows, labels]; one label alone is two classes.
    """
    outputs, targets = np.asarray(seen.outputs), np.asarray(seen.targets)
    if seen.kind == "classes":
        return outputs.argmax(axis=1), targets.astype(np.int64)
    middle = 0.5 if seen.loss == "binary_cross_entropy" else 0.0
    answers, wanted = (outputs > middle).astype(np.int64), (targets > 0.5).astype(np.int64)
    return (answers[:, 0], wanted[:, 0]) if answers.shape[1] == 1 else (answers, wanted)


def _counts(answers: Array, targets: Array, classes: int, *, labels: bool) -> _Counts:
    if labels:
        together = answers.T @ targets + (1 - answers).T @ (1 - targets)
        return _Counts(together, (targets.mean(axis=0) > 0.5).astype(np.int64))
    together = np.zeros((classes, classes))
    np.add.at(together, (answers, targets), 1)
    return _Counts(together, together.sum(axis=0).argmax())


def _best(counts: _Counts) -> Array:
    """Return the order of the largest sum; among equals, answers stay where they are."""
    from scipy.optimize import linear_sum_assignment

    stay = np.eye(len(counts.together)) * 0.5
    _, order = linear_sum_assignment(counts.together + stay, maximize=True)
    return np.asarray(order)


def _by_example(right: Array, example: Array) -> Array:
    """Return the mean over the rows of each example."""
    numbers, place = np.unique(example, return_inverse=True)
    return np.asarray(np.bincount(place, right) / np.bincount(place, minlength=len(numbers)))
