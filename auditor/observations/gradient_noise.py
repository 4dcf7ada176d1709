"""Gradients of equally large pieces of data, and what they tell of the noise in a batch."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

PIECES = 16
"""Pieces of data whose gradients are taken."""

EXAMPLES = 512
"""Examples that all pieces together hold where batches are small: 16 batches of 32."""

BATCHES = 8
"""Batches that they hold where batches are large."""


@dataclass(frozen=True)
class GradientNoise:
    """Inner products of the gradients of pieces of data, [pieces, pieces], at the same weights.

    Each piece holds `size` examples that no other holds, drawn without regard to their order; its
    gradient is that of the mean loss in training mode. `losses` is [pieces]. `width` is how many
    numbers a gradient was reduced to, 0 where it was kept whole. `note` says what had to be done
    differently.
    """

    products: Array
    losses: Array
    size: int
    start: Literal["fresh", "checkpoint"]
    split: str
    parameters: int
    width: int = 0
    note: str = ""

    @property
    def examples(self) -> int:
        """Return the examples of all pieces."""
        return self.size * len(self.products)

    @property
    def weights(self) -> str:
        """Return which weights the gradients are of."""
        return "fresh weights" if self.start == "fresh" else "the checkpoint"


@dataclass(frozen=True)
class GradientNoiseFrom(Request[GradientNoise]):
    """Asks for the gradients of pieces of data at one set of weights.

    A piece is half a batch to two batches or so, and costs a pass like any batch.
    """

    start: Literal["fresh", "checkpoint"] = "checkpoint"
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = GradientNoise
    depth: ClassVar = Depth.BACKWARD
    at_most: ClassVar = True

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have; a factory only where the start is fresh."""
        split: Capability = "train" if self.split == "train" else "val"
        always: frozenset[Capability] = frozenset({"model", "loss", split})
        return always | {"factory"} if self.start == "fresh" else always

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return one forward and one backward pass a piece."""
        return Cost(PIECES, PIECES)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches that the pieces are as large as, for batches of 32 examples."""
        split: Split = "train" if self.split == "train" else "val"
        return {split: min(PIECES, batches.get(split, 0))}


@dataclass(frozen=True)
class Scale:
    """The gradient noise scale with an interval, in examples; infinite where it has no bound.

    `steady` is the share of a piece's squared gradient that all pieces have in common.
    """

    value: Number
    low: Number
    high: Number
    steady: Number

    def cosine(self, batch: Number) -> float:
        """Return the expected cosine between a batch's gradient and that of all data."""
        return 1 / math.sqrt(1 + self.value / batch) if math.isfinite(self.value) else 0.0

    def over(self, batch: Number) -> "Scale":
        """Return the scale as so many times a batch."""
        return Scale(self.value / batch, self.low / batch, self.high / batch, self.steady)


def scale_of(noise: GradientNoise, confidence: float = 0.95) -> Scale:
    r"""Return tr(Σ) / |G|², the gradient noise scale of McCandlish et al. 2018, equation 2.8.

    With n pieces of b examples, O the mean inner product of two different gradients and D that of a
    gradient with itself, |G|² = O and tr(Σ) = b (D - O) without bias, which is their appendix A.1
    for the batch sizes b and nb. With r = O / D the scale is b (1 - r) / r, without bound for
    r <= 0. Its interval is Student's for ln((1 + (n - 1) r) / (1 - r)), with the error of r from
    leaving out one piece at a time (jackknife; Efron & Tibshirani 1993, ch. 11).
    """
    from scipy.special import stdtrit

    products = np.asarray(noise.products, float)
    count = len(products)
    own, total, rows = np.diag(products), products.sum(), products.sum(axis=1)
    steady = _steady(total, own.sum(), count)
    left = _steady(total - 2 * rows + own, own.sum() - own, count - 1)
    error = math.sqrt((count - 1) / count * float(((left - left.mean()) ** 2).sum()))
    tiny = 1e-12
    above = max(1 + (count - 1) * float(steady), tiny)
    below = max(1 - float(steady), tiny)
    reach = float(stdtrit(count - 1, (1 + confidence) / 2)) * error
    reach *= (count - 1) / above + 1 / below
    middle = math.log(above / below)
    low, value, high = (
        _examples(logarithm, noise.size, count)
        for logarithm in (middle + reach, middle, middle - reach)
    )
    return Scale(value, low, high, float(steady))


def _steady(total: Array, own: Array, count: int) -> Array:
    return np.asarray((total - own) / (own * (count - 1)))


def _examples(logarithm: float, size: int, count: int) -> float:
    """Return the noise scale for ln((1 + (n - 1) r) / (1 - r)): b n over its exponential less 1."""
    grown = math.expm1(min(logarithm, 700.0))
    return size * count / grown if grown > 0 else math.inf


def agreements(noise: GradientNoise) -> list[tuple[int, float]]:
    """Return, for several batch sizes, the measured cosine with the gradient of all data.

    For k pieces together, it is the root of the mean cosine between them and k others: two batches
    of B examples have the cosine 1 / (1 + N / B), each with the gradient of all data its root. A
    mean below 0 counts as 0.
    """
    products = np.asarray(noise.products, float)
    count, found, together = len(products), [], 1
    while 2 * together <= count:
        groups = count // together
        member = np.kron(np.eye(groups), np.ones(together))
        kept = products[: groups * together, : groups * together]
        summed = member @ kept @ member.T
        lengths = np.sqrt(np.maximum(np.diag(summed), np.finfo(float).tiny))
        cosines = (summed / np.outer(lengths, lengths))[np.triu_indices(groups, 1)]
        found.append((together * noise.size, math.sqrt(max(0.0, float(cosines.mean())))))
        together *= 2
    return found
