"""Quantities that are functions of sums over examples, with intervals by drawing examples again."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from auditor.core.statistics import Interval, clopper_pearson
from auditor.core.values import Array, Number
from auditor.observations.probabilities import blocks, draws_of

RESAMPLES = 2000

TAIL = 5
"""Draws that a quantile wants beyond it; where there are fewer the normal tail helps out."""


@dataclass(frozen=True)
class Measured:
    """A quantity with the interval that is told, of 95 %, and the one that decides.

    `note` says what was measured where the name leaves it open.
    """

    value: Number
    told: Interval
    sure: Interval
    note: str = ""


def unbounded(value: float) -> Measured:
    """Return a quantity that is infinite, whatever is drawn."""
    return Measured(value, (value, value), (value, value))


Levels = tuple[float, float]
"""95 %, and the confidence that a verdict wants."""

Sums = Callable[[Array], Array]
"""From sums over examples [draws, sums] to the quantity [draws]."""


def shares(right: Array, example: Array, levels: Levels, rng: np.random.Generator) -> Measured:
    """Return the share of ones, exactly where each example has one row."""
    if len(np.unique(example)) == len(example):
        return exact_share(int(right.sum()), len(right), levels)
    table = np.stack([right, np.ones(len(right))], axis=1)
    return by_sums(table, ratio, levels, rng, share=True, example=example)


def exact_share(count: int, trials: int, levels: Levels) -> Measured:
    """Return a share of independent examples."""
    told, sure = (clopper_pearson(count, trials, level) for level in levels)
    return Measured(count / trials, told, sure)


def ratio(sums: Array) -> Array:
    """Return the first sum over the second."""
    return np.asarray(sums[:, 0] / sums[:, 1])


def grouped(table: Array, example: Array) -> Array:
    """Return the sums over the rows of each example."""
    _, place = np.unique(example, return_inverse=True)
    sums = np.zeros((int(place.max(initial=0)) + 1, table.shape[1]))
    np.add.at(sums, place, table)
    return sums


def by_sums(
    table: Array,
    quantity: Sums,
    levels: Levels,
    rng: np.random.Generator,
    *,
    share: bool = False,
    example: Array | None = None,
) -> Measured:
    """Return a function of the sums over a table's rows, bootstrapped over whole examples.

    Each row is an example of its own unless it is told which it is of. What is a `share` keeps
    between 0 and 1, and where no draw differs it may yet be off by what was never seen.
    """
    example = np.arange(len(table)) if example is None else example
    sums = grouped(table, blocks(example, rng))
    drawn = quantity(draws_of(len(sums), rng, RESAMPLES) @ sums)
    value, others = float(drawn[0]), drawn[1:][np.isfinite(drawn[1:])]
    unseen = len(np.unique(example)) if share else 0
    told, sure = (_ends(value, others, level, unseen) for level in levels)
    return Measured(value, told, sure)


def _ends(value: float, drawn: Array, level: float, unseen: int) -> Interval:
    tail = (1 - level) / 2
    low, high = (float(end) for end in np.quantile(drawn, [tail, 1 - tail]))
    if tail * len(drawn) < TAIL:
        reach = NormalDist().inv_cdf(1 - tail) * float(drawn.std())
        low, high = min(low, value - reach), max(high, value + reach)
    if unseen:
        if low == high:
            never = 1 - clopper_pearson(unseen, unseen, level)[0]
            low, high = low - never, high + never
        low, high = max(0.0, low), min(1.0, high)
    return min(low, value), max(high, value)


def through(made: Measured, change: Callable[[float], float]) -> Measured:
    """Return a measured quantity, which is not below zero, through a function that rises."""
    told, sure = (
        (change(max(0.0, low)), change(max(0.0, high))) for low, high in (made.told, made.sure)
    )
    return Measured(change(made.value), told, sure)
