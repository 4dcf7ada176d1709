"""Measuring what is claimed of decisions among classes, and of how outputs rank examples."""

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from auditor.core.statistics import Interval, clopper_pearson
from auditor.core.values import Array
from auditor.observations.claims import Quantity
from auditor.observations.predictions import Predictions
from auditor.observations.probabilities import decide
from auditor.observations.ranking import average_precision, roc_area
from auditor.observations.resampled import Levels, Measured, by_sums, grouped, shares

CELLS = 4_000_000
"""Numbers in a table of examples and classes at most."""


def of_decisions(
    what: Quantity, seen: Predictions, levels: Levels, rng: np.random.Generator
) -> Measured | str:
    """Return a quantity of decisions, or of how outputs rank examples, or why there is none."""
    found = decide(seen)
    if isinstance(found, str):
        return found
    if what.kind in ("AUC", "average precision"):
        return _of_ranks(what, seen, levels, rng)
    width = seen.outputs.shape[1]
    several = seen.kind == "labels" and width > 1
    if what.kind == "top-k accuracy":
        if seen.kind != "classes" or what.k >= width:
            return f"there are no {what.k + 1} classes to choose from"
        own = np.take_along_axis(seen.outputs, found.truth[:, None], axis=1)
        right = ((seen.outputs > own).sum(axis=1) < what.k).astype(float)
        return shares(right, found.example, levels, rng)
    if what.kind == "exact match":
        right = found.right.reshape(-1, width).min(axis=1) if several else found.right
        return shares(right, found.example[:: width if several else 1], levels, rng)
    if several:
        cell, classes = found.label, width
        table = np.zeros((len(found.truth), 3 * classes))
        rows = np.arange(len(table))
        table[rows, cell] = found.truth & found.predicted
        table[rows, classes + cell] = found.predicted
        table[rows, 2 * classes + cell] = found.truth
        if what.kind == "balanced accuracy":
            return "several labels have no balanced accuracy"
        sums = grouped(table, found.example)
    else:
        classes = width if seen.kind == "classes" else 2
        sums = _confusion(found.truth, found.predicted, found.example, classes)
    return _over_classes(what, sums, classes, several, levels, rng)


def _confusion(truth: Array, predicted: Array, example: Array, classes: int) -> Array:
    """Return how often each class is right, predicted and true in each example, [examples, 3 C].

    Where that is much, examples are put together first, which changes no sum.
    """
    _, place = np.unique(example, return_inverse=True)
    count = int(place.max(initial=0)) + 1
    groups = max(1, min(count, CELLS // max(1, 3 * classes)))
    place = place % groups
    parts = [
        np.bincount(place[rows] * classes + label[rows], minlength=groups * classes)
        for label, rows in (
            (truth, truth == predicted),
            (predicted, np.ones(len(truth), bool)),
            (truth, np.ones(len(truth), bool)),
        )
    ]
    return np.concatenate([part.reshape(groups, classes) for part in parts], axis=1).astype(float)


def _over_classes(
    what: Quantity,
    sums: Array,
    classes: int,
    several: bool,
    levels: Levels,
    rng: np.random.Generator,
) -> Measured | str:
    average, note = what.average, ""
    by_class = what.kind in ("precision", "recall", "F1")
    if by_class and average == "binary" and (several or classes != 2):
        return f"there are {classes} classes, not two"
    if by_class and not average:
        average = "binary" if classes == 2 and not several else ""
        note = "of class 1" if average else ""
    if by_class and not average:
        # Which average was meant is not said: the kindest is judged.
        found = [
            (name, _measured_by(what.kind, name, sums, classes, levels, rng))
            for name in ("macro", "micro", "weighted")
        ]
        name, best = max(found, key=lambda one: one[1].value)
        return replace(best, note=f"{name} average")
    made = _measured_by(what.kind, average, sums, classes, levels, rng)
    return replace(made, note=note)


def _measured_by(
    kind: str,
    average: str,
    sums: Array,
    classes: int,
    levels: Levels,
    rng: np.random.Generator,
) -> Measured:
    def quantity(drawn: Array) -> Array:
        right, said, true = (drawn[:, n * classes : (n + 1) * classes] for n in range(3))
        if average == "binary":
            right, said, true = right[:, 1:], said[:, 1:], true[:, 1:]
        elif average == "micro":
            right, said, true = (part.sum(axis=1, keepdims=True) for part in (right, said, true))
        with np.errstate(divide="ignore", invalid="ignore"):
            if kind == "mean IoU":
                return np.asarray(np.nanmean(right / (said + true - right), axis=1))
            if kind == "balanced accuracy":
                return np.asarray(np.nanmean(right / true, axis=1))
            below = {"precision": said, "recall": true, "F1": (said + true) / 2}[kind]
            parts = np.where(below > 0, right / below, 0.0)
            present = (said + true) > 0
            weights = true if average == "weighted" else present.astype(float)
            total = weights.sum(axis=1)
            return np.asarray(np.where(total > 0, (parts * weights).sum(axis=1) / total, 0.0))

    return by_sums(sums, quantity, levels, rng, share=True)


def _of_ranks(
    what: Quantity, seen: Predictions, levels: Levels, rng: np.random.Generator
) -> Measured | str:
    outputs, targets = np.asarray(seen.outputs, float), np.asarray(seen.targets)
    if seen.kind == "classes":
        if outputs.shape[1] == 2:
            outputs = outputs[:, 1:] - outputs[:, :1]
            targets = targets[:, None]
        else:
            shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            outputs = shifted / shifted.sum(axis=1, keepdims=True)
            targets = targets[:, None] == np.arange(outputs.shape[1])
    measure = roc_area if what.kind == "AUC" else average_precision
    found = measure(outputs, targets.astype(bool), np.asarray(seen.example), rng)
    if found is None:
        return "there are not both cases of any class"
    value, error = found
    told, sure = (_on_odds(value, error, level, len(outputs)) for level in levels)
    note = "mean over classes" if outputs.shape[1] > 1 else ""
    return Measured(value, told, sure, note)


def _on_odds(value: float, error: float, level: float, rows: int) -> Interval:
    """Return the interval of a share from its error, taken on the logarithm of the odds."""
    if not 0 < value < 1:
        never = 1 - clopper_pearson(rows, rows, level)[0]
        return max(0.0, value - never), min(1.0, value + never)
    reach = NormalDist().inv_cdf((1 + level) / 2) * error / (value * (1 - value))
    odds = math.log(value / (1 - value))
    low, high = (
        1 / (1 + math.exp(-max(-700.0, min(700.0, end)))) for end in (odds - reach, odds + reach)
    )
    return low, high
