"""How often each example of training stands there, and whether it was copied on purpose."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from auditor.core.finding import Limit
from auditor.core.statistics import clopper_pearson
from auditor.core.values import Array
from auditor.core.verdict import Verdict

CONFIDENCE = 0.99

ENOUGH = 100
"""Different examples that are looked at, if there are so many: of the classes with most of them,
which nobody draws more often than others."""

FEWEST = 50
"""Different examples below which inputs are too few to wonder that they come again."""

WHOLE = 0.95
"""Share of the different examples that stand there 2, 3, ... times a whole number of times, from
which on all were copied so often; chance makes that of 2 half of them."""

MOST_TIMES = 64

EVEN = 0.8
"""Variance of how often an example stands there, as a multiple of what drawing with replacement
leaves, below which copies are spread too evenly for that."""

Kind = Literal["", "few", "natural", "drawn", "even", "times"]
"""What repetitions look like: none that matter; those of few different inputs; of inputs that take
few distinct values; of draws with replacement or of rare classes drawn more often; of copies that
are spread evenly; or of a split that holds all of its examples several times."""


@dataclass(frozen=True)
class Copies:
    """How often examples of training, input and target, stand there.

    `different` of `examples` that were read differ. `times` and `kinds` [rows]: so many different
    examples stand there so often, in the classes that hold most different ones.
    """

    examples: int = 0
    different: int = 0
    times: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    kinds: Array = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def looked_at(self) -> tuple[int, int]:
        """Return how many examples are looked at, and how many of them are copies of others."""
        whole = int((np.asarray(self.times) * np.asarray(self.kinds)).sum())
        return whole, whole - int(np.asarray(self.kinds).sum())

    @property
    def share(self) -> float:
        """Return the share of copies among the examples that are looked at."""
        whole, copies = self.looked_at
        return copies / max(1, whole)

    @property
    def factor(self) -> int:
        """Return how many times the split holds all of its examples, 1 where it does not."""
        times, kinds = np.asarray(self.times), np.asarray(self.kinds)
        of = max(1, int(kinds.sum()))
        held = (k for k in range(MOST_TIMES, 1, -1) if kinds[times % k == 0].sum() >= WHOLE * of)
        return next(held, 1)


def kind_of(copies: Copies, limit: Limit, *, natural: bool) -> Kind:
    """Return what the repetitions look like."""
    whole, repeated = copies.looked_at
    interval = clopper_pearson(repeated, whole, CONFIDENCE)
    if not whole or limit.verdict(copies.share, *interval) is Verdict.PASS:
        return ""
    if limit.warn is not None and interval[0] <= limit.warn:
        return ""
    if copies.different < FEWEST:
        return "few"
    if natural:
        return "natural"
    if copies.factor > 1:
        return "times"
    return "even" if _spread(copies) < EVEN else "drawn"


def _spread(copies: Copies) -> float:
    """Return the variance of how often examples stand there, of that which draws leave, at most.

    Draws with replacement leave a Poisson number of rate r, of which none of 0 is seen. Its mean is
    m = r / (1 - exp(-r)) and its variance m (1 + r - m). The upper bound is by chi-square.
    """
    from scipy.special import chdtri

    times, kinds = np.asarray(copies.times, float), np.asarray(copies.kinds, float)
    count = kinds.sum()
    mean = float((times * kinds).sum() / count)
    rate = _rate(mean)
    expected = mean * (1 + rate - mean)
    squares = float((kinds * (times - mean) ** 2).sum())
    if not (count > 1 and expected > 0):
        return np.inf
    least = float(chdtri(count - 1, CONFIDENCE))
    return squares / expected / least if least > 0 else np.inf


def _rate(mean: float) -> float:
    """Return the rate of a Poisson number whose mean is so large where 0 is never seen."""
    low, high = 0.0, mean
    for _ in range(60):
        middle = (low + high) / 2
        less = middle < mean * -np.expm1(-middle)
        low, high = (middle, high) if less else (low, middle)
    return (low + high) / 2
