"""How far apart two classes lie in a layer's features, and where that is lost."""

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

from auditor.core.statistics import clopper_pearson
from auditor.core.values import Array
from auditor.observations.features import Features

FEWEST = 10
"""Examples of a class from which on it is set against others."""
CLASSES = 20
"""Classes set against each other: those with most examples."""
TRACED = 30
"""Pairs followed through all layers: those that lie closest at the end."""
TOGETHER = 1.0
"""Deviations apart below which two classes can hardly be told apart: 31 % of either are mistaken
for the other at the best threshold between them."""
DOUBT = 0.01
"""Probability of error that all comparisons of classes share."""
INPUTS = "(inputs)"


@dataclass(frozen=True)
class Apart:
    """Standardised distance of two classes, in deviations within a class, with its error."""

    value: float
    error: float

    def low(self, sure: float) -> float:
        """Return the lower bound at a two-sided doubt of 1 - `sure`."""
        return self.value - NormalDist().inv_cdf((1 + sure) / 2) * self.error

    def high(self, sure: float) -> float:
        """Return the upper bound at a two-sided doubt of 1 - `sure`."""
        return self.value + NormalDist().inv_cdf((1 + sure) / 2) * self.error


@dataclass(frozen=True)
class LostPair:
    """Two classes that `best` told apart and the last layer does not; `since` is the first such."""

    classes: tuple[int, int]
    best: str
    before: Apart
    since: str
    after: Apart


@dataclass(frozen=True)
class Unpredicted:
    """A class that is never predicted, though `apart` from the one predicted in its place."""

    label: int
    examples: int
    instead: int
    apart: Apart


def separation(a: Array, b: Array) -> Apart:
    """Return how many deviations the classes are apart in one direction, found on other examples.

    Half of the examples give the direction, the difference of the means with each feature over its
    variance within the classes; the other half, projected on it, give Cohen's d; and the other way
    round. The variance of each is (m + n) / (m n) + d² / (2 (m + n)) (Hedges & Olkin 1985); where
    classes hardly differ the two are nearly one number, so that the mean is given no less.
    """
    values, variances = [], []
    for start in (0, 1):
        fit_a, fit_b, on_a, on_b = a[start::2], b[start::2], a[1 - start :: 2], b[1 - start :: 2]
        within = (fit_a.var(axis=0) * len(fit_a) + fit_b.var(axis=0) * len(fit_b)) / (
            len(fit_a) + len(fit_b)
        )
        floor = 0.01 * within.mean()
        difference = fit_a.mean(axis=0) - fit_b.mean(axis=0)
        direction = difference / (within + floor) if floor > 0 else difference
        m, n = len(on_a), len(on_b)
        x, y = on_a @ direction, on_b @ direction
        gap = float(x.mean() - y.mean())
        pooled = math.sqrt(float(x.var() * m + y.var() * n) / max(1, m + n - 2))
        # Features that do not vary at all are not apart.
        size = float(np.abs(x).max(initial=0.0) + np.abs(y).max(initial=0.0))
        still = abs(gap) <= 1e-5 * size
        d = 0.0 if still else gap / max(pooled, 1e-6 * size)
        values.append(d)
        variances.append((m + n) / (m * n) + d * d / (2 * (m + n)))
    return Apart(sum(values) / 2, math.sqrt(sum(variances) / 2))


def lost_pairs(seen: Features) -> tuple[list[LostPair], int]:
    """Return the pairs of classes that were told apart once and no more, and how many were tried.

    A pair is lost where it lies less than `TOGETHER` apart at the end, and less than half as far
    as in some earlier layer beyond doubt, with errors shared out among pairs and layers.
    """
    rows = _rows_of_classes(seen)
    pairs = list(combinations(rows, 2))
    layers = _layers(seen)
    if not pairs or len(layers) < 2:
        return [], 0
    sure = 1 - DOUBT / (len(pairs) * len(layers))
    last, table = layers[-1]
    ends = {(a, b): separation(table[rows[a]], table[rows[b]]) for a, b in pairs}
    close = sorted((p for p in pairs if ends[p].value < TOGETHER), key=lambda p: ends[p].value)
    found = []
    for a, b in close[:TRACED]:
        path = [(name, separation(of[rows[a]], of[rows[b]])) for name, of in layers[:-1]]
        name, before = max(path, key=lambda step: step[1].low(sure))
        after = ends[a, b]
        if not after.high(sure) < before.low(sure) / 2:
            continue
        # Averages over positions come closer without a loss: two deviations are apart enough.
        least = min(before.value / 2, 2 * TOGETHER)
        apart = [i for i, (_, one) in enumerate(path) if one.value > least]
        since = path[apart[-1] + 1][0] if apart[-1] + 1 < len(path) else last
        found.append(LostPair((a, b), name, before, since, after))
    return found, len(pairs)


def unpredicted(seen: Features, fewest: int = 20) -> list[Unpredicted]:
    """Return classes that are never predicted though the last layer holds them apart.

    So far apart that, were they normal, half of the class at least would be more likely its own
    than the other's, however rare it is: d² / 2 > ln(n_other / n), with d's lower bound. A model
    that does not get most of the other classes right has not learnt yet, or is broken as a whole.
    """
    known = (seen.targets >= 0) & (seen.predicted >= 0)
    if not _works(seen.targets[known], seen.predicted[known]):
        return []
    rows = _rows_of_classes(seen)
    _, table = _layers(seen)[-1]
    sure = 1 - DOUBT / max(1, len(rows))
    found = []
    for label, mine in rows.items():
        if len(mine) < fewest or (seen.predicted[known] == label).any():
            continue
        given = seen.predicted[mine]
        instead = int(np.bincount(given[given >= 0]).argmax())
        if instead not in rows:
            continue
        apart = separation(table[mine], table[rows[instead]])
        least = apart.low(sure)
        if least > 0 and least**2 / 2 > max(0.5, math.log(len(rows[instead]) / len(mine)) + 0.5):
            found.append(Unpredicted(label, len(mine), instead, apart))
    return found


def _works(targets: Array, predicted: Array) -> bool:
    """Tell whether, of the classes ever predicted, most examples are right beyond doubt."""
    told = np.isin(targets, predicted)
    trials = int(told.sum())
    if not trials:
        return False
    right = int((targets == predicted)[told].sum())
    often = int(np.unique(targets[told], return_counts=True)[1].max())
    return clopper_pearson(right, trials, 1 - DOUBT)[0] > max(0.5, often / trials)


def _rows_of_classes(seen: Features) -> dict[int, Array]:
    """Return the examples of each class that has enough, of the most frequent classes."""
    labels, counts = np.unique(seen.targets[seen.targets >= 0], return_counts=True)
    often = [int(labels[i]) for i in np.argsort(-counts, kind="stable") if counts[i] >= FEWEST]
    return {label: np.flatnonzero(seen.targets == label) for label in sorted(often[:CLASSES])}


def _layers(seen: Features) -> list[tuple[str, Array]]:
    """Return the inputs and the layers, in order, up to the one that gives the classes."""
    widths = (seen.classes, 1 if seen.classes == 2 else seen.classes)
    ends = [i for i, layer in enumerate(seen.layers) if layer.units in widths]
    layers = seen.layers[: ends[-1] + 1] if ends else seen.layers
    found = [(layer.layer, layer.features) for layer in layers]
    if seen.inputs.shape[1]:
        found.insert(0, (INPUTS, seen.inputs))
    return [(name, np.asarray(t, float)) for name, t in found if np.isfinite(t).all()]
