"""How far the inputs of two splits lie apart."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.statistics import column_quantiles, kolmogorov_smirnov
from auditor.core.values import Array, Number
from auditor.observations.inputs import InputColumns, InputStatistics


@dataclass(frozen=True)
class Shift:
    """How far each compared column of one input lies apart in two splits.

    `distance` is the largest gap between the two cumulative distributions, of the values or, in a
    table, of how far these lie from the first split's median, where a change of spread alone
    shows. `low` is what it is at least, at 99 % for all columns together, and `error` the share
    of that doubt that each comparison has.
    """

    input: InputColumns
    other: InputColumns
    names: tuple[str, ...]
    distance: Array
    low: Array
    error: Number

    def settled_by(self, limit: float) -> int:
        """Return how many examples of each split would bring `low` beyond a limit.

        Were the largest distance, which is beyond it, to stay; by Massart's bound for both.
        """
        beyond = float(self.distance.max()) - limit
        return math.ceil(2 * math.log(4 / self.error) / beyond**2)


def shifts(one: InputStatistics, other: InputStatistics) -> tuple[Shift, ...]:
    """Return how far the inputs of two splits lie apart, for those of one name and layout."""
    second = {columns.name: columns for columns in other.inputs}
    pairs = [
        (mine, second[mine.name])
        for mine in one.inputs
        if mine.name in second and np.array_equal(mine.compared, second[mine.name].compared)
    ]
    tests = 2 * sum(len(mine.compared) for mine, _ in pairs)
    return tuple(_shift(mine, theirs, 0.01 / tests) for mine, theirs in pairs)


def _shift(mine: InputColumns, theirs: InputColumns, error: float) -> Shift:
    names = [mine.named(int(column)) for column in mine.compared]
    samples = [(mine.sample, theirs.sample)]
    if mine.table:
        # Chosen by one of the samples: adding the bounds of both leaves more room than that takes.
        centre = column_quantiles(mine.sample, (0.5,))
        samples.append((abs(mine.sample - centre), abs(theirs.sample - centre)))
    else:
        names = [f"{n}, {what}" for what in ("mean", "deviation") for n in names]
    found = [
        [kolmogorov_smirnov(a, b, 1 - error) for a, b in zip(one.T, other.T, strict=True)]
        for one, other in samples
    ]
    distance, low = np.array(found).max(axis=0).T
    return Shift(mine, theirs, tuple(names), distance, low, error)
