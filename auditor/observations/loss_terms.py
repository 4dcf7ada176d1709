"""What each term of a loss is worth, and where it pulls."""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import geometric_interval, mean_interval
from auditor.core.values import Array

MOST_TERMS = 8
"""Terms that are looked at; of a loss of more, the first."""


@dataclass(frozen=True)
class TermsAt:
    """The terms of a loss at one set of weights, batch by batch.

    `values` is [batches, terms], NaN where a term is not finite. `products` [batches, terms,
    terms] holds the inner products of the terms' gradients over the parameters that all of them
    reach, `norms` [batches, terms] each one's 2-norm over all that it reaches itself. `own` is
    the number of parameter tensors that each term reaches, `shared` of those that all do.
    """

    values: Array
    products: Array
    norms: Array
    own: tuple[int, ...]
    shared: int


@dataclass(frozen=True)
class LossTerms:
    """`terms` are the names; `fresh` is None without a factory."""

    terms: tuple[str, ...]
    left_out: int
    checkpoint: TermsAt
    fresh: TermsAt | None
    split: str
    note: str = ""


@dataclass(frozen=True)
class LossTermsOver(Request[LossTerms]):
    """Asks for the values and gradients of each term, of the checkpoint and of a fresh model."""

    batches: int = 8
    split: str = "train_or_val"

    answer: ClassVar = LossTerms
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return a forward pass a batch for either model, and a backward pass for each term."""
        known = batches.get("train" if self.split == "train" else "val", 0)
        passes = 2 * min(self.batches, known)
        return Cost(passes, passes * MOST_TERMS)


@dataclass(frozen=True)
class Pair:
    """Two terms by number: how many times the norm of `strong` is that of `weak`, and the cosine.

    Each with its interval at the confidence asked for.
    """

    strong: int
    weak: int
    ratio: tuple[float, float, float]
    cosine: tuple[float, float, float]


def pairs_of(at: TermsAt, level: float) -> list[Pair]:
    """Return all pairs of terms, the stronger one first."""
    found = []
    for one, other in itertools.combinations(range(at.norms.shape[1]), 2):
        sizes = _sizes(at, one, other)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = geometric_interval(sizes[0] / sizes[1], level)
            cosines = at.products[:, one, other] / (sizes[0] * sizes[1])
        cosines = cosines[np.isfinite(cosines)]
        mean = float(cosines.mean()) if len(cosines) else math.nan
        if ratio[0] < 1:
            ratio, one, other = (1 / ratio[0], 1 / ratio[2] if ratio[2] else math.inf,
                                 1 / ratio[1] if ratio[1] else math.inf), other, one  # fmt: skip
        found.append(Pair(one, other, ratio, (mean, *mean_interval(cosines, level))))
    return found


def _sizes(at: TermsAt, one: int, other: int) -> tuple[Array, Array]:
    """Return the norms of two terms over what they share, else over all that each reaches."""
    if at.shared:
        squares = np.maximum(at.products[:, (one, other), (one, other)], 0.0)
        return np.sqrt(squares[:, 0]), np.sqrt(squares[:, 1])
    return at.norms[:, one], at.norms[:, other]


def penalty(at: TermsAt, term: int) -> bool:
    """Tell whether a term is the same on every batch: it judges weights, not answers."""
    values = at.values[:, term]
    return len(values) > 1 and float(np.ptp(values)) <= 1e-6 * float(np.abs(values).max())
