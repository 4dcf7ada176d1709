"""How well scores put positive examples before others, with the error of that."""

import math

import numpy as np

from auditor.core.values import Array

DRAWS = 200
"""Bootstrap samples behind the error of the average precision."""


def roc_area(
    scores: Array, truth: Array, example: Array, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Return the area under the ROC curve, averaged over columns, and its standard error.

    It is the share of pairs of a positive and another row that are put in the right order, ties
    counting half. The error is that of the mean of each row's influence (DeLong et al. 1988,
    Biometrics 44), over whole examples. None where no column has both kinds of rows.
    """
    areas, influence, columns = [], np.zeros(len(scores)), 0
    for column in range(scores.shape[1]):
        positive = truth[:, column]
        if positive.all() or not positive.any():
            continue
        above, below = scores[positive, column], scores[~positive, column]
        won = _before(above, below)
        area = float(won.mean())
        share = float(positive.mean())
        areas.append(area)
        influence[positive] += (won - area) / share
        influence[~positive] += (1 - _before(below, above) - area) / (1 - share)
        columns += 1
    if not columns:
        return None
    _, place = np.unique(example, return_inverse=True)
    sums = np.bincount(place, influence / columns)
    groups = len(sums)
    error = math.sqrt(float(np.square(sums).sum()) * groups / max(1, groups - 1)) / len(scores)
    return float(np.mean(areas)), error


def _before(ours: Array, others: Array) -> Array:
    """Return the share of `others` that each of `ours` is above, those it equals counting half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, ours, "left")
    up_to = np.searchsorted(ordered, ours, "right")
    return np.asarray((below + up_to) / (2 * len(others)))


def average_precision(
    scores: Array, truth: Array, example: Array, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Return the average precision Σ (R_k - R_k-1) P_k, averaged over columns, and its error.

    The error is the deviation over a bootstrap of whole examples. None where no column has both
    kinds of rows.
    """
    columns = [c for c in range(scores.shape[1]) if truth[:, c].any() and not truth[:, c].all()]
    if not columns:
        return None
    _, place = np.unique(example, return_inverse=True)
    count = int(place.max(initial=0)) + 1
    weights: list[Array] = [np.ones(len(scores))]
    weights += [
        np.bincount(rng.integers(0, count, count), minlength=count)[place] for _ in range(DRAWS)
    ]
    found = np.zeros(len(weights))
    for column in columns:
        order = np.argsort(-scores[:, column], kind="stable")
        right = truth[order, column]
        ends = np.flatnonzero(np.append(np.diff(scores[order, column]) != 0, True))
        for draw, weight in enumerate(weights):
            total = weight[order].cumsum()[ends]
            hits = (weight[order] * right).cumsum()[ends]
            gains = np.diff(hits, prepend=0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                part = np.where(total > 0, gains * hits / total, 0.0).sum() / hits[-1]
            found[draw] += part / len(columns)
    drawn = found[1:][np.isfinite(found[1:])]
    return float(found[0]), float(drawn.std()) if len(drawn) > 1 else math.inf
