"""How far two distributions of one quantity lie apart, by the population stability index.

PSI = Σ (q - p) ln(q / p) over bins with shares p and q: the symmetric Kullback-Leibler divergence.
Where nothing has changed, PSI / (1/n + 1/m) of two samples of n and m is distributed as χ² with one
degree of freedom less than there are bins (Yurdakul & Naranjo 2020, Journal of Risk Model
Validation 14); else about as χ² that is not central, whose parameter gives the interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auditor.core.subject import FeatureFacts, TargetFacts
from auditor.core.values import Array, Number

SAME = 1e-3
"""Share of the spread of a feature by which values may differ and count as one, rounding apart."""

LEAST = 0.05
"""Share of both samples together that a bin holds at least; smaller ones are joined."""

FEWEST = 10
"""Labels of a class in both samples together below which it is joined with other rare ones."""


@dataclass(frozen=True)
class Drift:
    """How far a feature, or the labels, lie apart in two samples.

    `index` is the stability index with what chance adds taken off; it lies in [low, high] at 95 %
    and above `least` at the confidence that was asked for.
    """

    name: str
    index: Number
    low: Number
    high: Number
    least: Number


def of_shares(
    name: str, before: Array, after: Array, sizes: tuple[int, int], confidence: float
) -> Drift:
    """Return how far the shares of bins lie apart in samples of such sizes."""
    from scipy.special import chndtrinc

    n, m = (max(1, size) for size in sizes)
    bins = len(before)
    if bins < 2:
        return Drift(name, 0.0, 0.0, 0.0, 0.0)
    # Half a count in each bin keeps the logarithm finite.
    p, q = (
        (np.asarray(shares, float) * size + 0.5) / (size + 0.5 * bins)
        for shares, size in ((before, n), (after, m))
    )
    chance = 1 / n + 1 / m
    statistic = float(((q - p) * np.log(q / p)).sum()) / chance
    index = max(0.0, statistic - (bins - 1))
    low, high, least = (
        round(float(chndtrinc(max(statistic, 1e-9), bins - 1, level)), 9)
        for level in (0.975, 0.025, confidence)
    )
    low, high = min(low, index), max(high, index)
    return Drift(name, index * chance, low * chance, high * chance, least * chance)


def of_features(before: FeatureFacts, after: FeatureFacts, confidence: float) -> list[Drift]:
    """Return how far the features that both have lie apart."""
    places = {name: place for place, name in enumerate(after.names)}
    return [
        _of_feature(before, mine, after, places[name], confidence)
        for mine, name in enumerate(before.names)
        if name in places
    ]


def _of_feature(
    before: FeatureFacts, mine: int, after: FeatureFacts, theirs: int, confidence: float
) -> Drift:
    pairs = ((before, mine), (after, theirs))
    sizes = [int(facts.values[place] + facts.missing[place]) for facts, place in pairs]
    lost = [
        float(facts.missing[place]) / max(1, size)
        for (facts, place), size in zip(pairs, sizes, strict=True)
    ]
    tables = [np.asarray(facts.quantiles[place], float) for facts, place in pairs]
    spread = float(np.sqrt(max(before.variance[mine], after.variance[theirs])))
    size = float(np.abs(tables[0]).max())
    same = SAME * spread if spread > 1e-6 * size else 1e-6 * size
    shares = binned(tables[0], tables[1], same)
    rows = [
        np.append(share * (1 - gone), gone) if any(lost) else share
        for share, gone in zip(shares, lost, strict=True)
    ]
    return of_shares(before.names[mine], rows[0], rows[1], (sizes[0], sizes[1]), confidence)


def binned(before: Array, after: Array, same: float = 0.0) -> tuple[Array, Array]:
    """Return the shares of both in bins between the deciles of the first, given percentiles.

    A value that many examples have is a bin of its own; values that differ by less than `same` are
    one.
    """
    if np.isnan(before).any() or np.isnan(after).any():
        # A side without a single number: all of it stands in the bin of what is missing.
        return np.ones(1), np.ones(1)
    edges = np.unique(before[10:100:10])
    cuts = [
        np.stack([_below(table, edges - same), _up_to(table, edges + same)], axis=1).reshape(-1)
        for table in (before, after)
    ]
    parts = [np.diff(np.maximum.accumulate(np.concatenate([[0.0], cut, [1.0]]))) for cut in cuts]
    return _joined(parts[0], parts[1])


def _up_to(table: Array, edges: Array) -> Array:
    """Return the share of values at or below each edge, between percentiles on a straight line."""
    place = np.searchsorted(table, edges, "right") - 1
    inside = (place >= 0) & (place < len(table) - 1)
    low, high = table[np.clip(place, 0, 99)], table[np.clip(place + 1, 1, 100)]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(inside & (high > low), (edges - low) / (high - low), 0.0)
    return np.asarray(np.clip(place + part, 0, 100) / 100)


def _below(table: Array, edges: Array) -> Array:
    """Return the share of values below each edge, to half a percentile."""
    place = np.searchsorted(table, edges, "left") - 0.5
    return np.asarray(np.where(place < 0, 0.0, np.minimum(place, 100) / 100))


def _joined(before: Array, after: Array) -> tuple[Array, Array]:
    """Return the shares with each bin joined to the next until both together hold enough."""
    rows: list[list[float]] = [[0.0, 0.0]]
    for p, q in zip(before.tolist(), after.tolist(), strict=True):
        if sum(rows[-1]) / 2 >= LEAST:
            rows.append([0.0, 0.0])
        rows[-1][0] += p
        rows[-1][1] += q
    if len(rows) > 1 and sum(rows[-1]) / 2 < LEAST:
        last = rows.pop()
        rows[-1] = [rows[-1][0] + last[0], rows[-1][1] + last[1]]
    table = np.asarray(rows)
    return table[:, 0], table[:, 1]


def of_labels(
    before: TargetFacts, after: TargetFacts, examples: tuple[int, int], confidence: float
) -> list[Drift]:
    """Return how far the shares of classes lie apart, of several labels those of each.

    Labels of one example count once together, since they hang on one another.
    """
    if before.kind != after.kind or before.kind not in ("classes", "labels"):
        return []
    if not before.classes or not after.classes:
        return []
    counts = class_counts(before, after)
    if before.kind == "labels":
        pairs = [rows[: len(rows) // 2 * 2].reshape(-1, 2) for rows in counts]
        return [
            of_shares(f"label {place}", _shares(p), _shares(q), examples, confidence)
            for place, (p, q) in enumerate(zip(pairs[0], pairs[1], strict=True))
        ]
    common = counts[0] + counts[1] >= FEWEST
    joined = [
        np.append(rows[common], rows[~common].sum()) if (~common).any() else rows for rows in counts
    ]
    sizes = tuple(min(examples[side], int(rows.sum())) for side, rows in enumerate(counts))
    first, second = map(_shares, joined)
    return [of_shares("labels", first, second, (sizes[0], sizes[1]), confidence)]


def class_counts(before: TargetFacts, after: TargetFacts) -> tuple[Array, Array]:
    """Return how often both have each class that either has, in order."""
    classes = sorted({*before.classes, *after.classes})
    told: Sequence[dict[int, int]] = [
        dict(zip(facts.classes, facts.counts, strict=True)) for facts in (before, after)
    ]
    first, second = (np.asarray([one.get(c, 0) for c in classes], float) for one in told)
    return first, second


def _shares(counts: Array) -> Array:
    return np.asarray(counts / max(1.0, float(counts.sum())))
