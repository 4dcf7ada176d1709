"""The average gradient that an optimizer remembers, beside the gradients that come now."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Depth, Mode, Riding
from auditor.core.statistics import Interval, mean_interval
from auditor.core.values import Array


@dataclass(frozen=True)
class GradientMemory:
    """What an optimizer's first moments say of past gradients, and what batches say now.

    A first moment is taken as the average that it is of past gradients, freed of having begun at 0.
    Of each parameter that has one, `lengths` [parameters] are its 2-norms and `roots` those of the
    roots of the second moments, NaN where none is kept. `squares` [batches, parameters] are the
    squared norms of the gradient of each batch, what weight decay adds to it included, and `along`
    its inner products with the average; NaN where a parameter got no gradient.
    """

    parameters: tuple[str, ...]
    lengths: Array
    roots: Array
    squares: Array
    along: Array

    def merge(self, other: "GradientMemory") -> "GradientMemory":
        """Return the same over the batches of both."""
        return replace(
            self,
            squares=np.concatenate([self.squares, other.squares]),
            along=np.concatenate([self.along, other.along]),
        )

    @property
    def _kept(self) -> Array:
        """Tell of each parameter whether it got a gradient from every batch."""
        return np.asarray(np.isfinite(self.squares).all(axis=0) & np.isfinite(self.lengths))

    @property
    def length(self) -> float:
        """Return the norm of the average over all parameters that get gradients."""
        return float(np.linalg.norm(np.asarray(self.lengths, float)[self._kept]))

    def excess(self, confidence: float = 0.95) -> tuple[float, float, float]:
        """Return how many times as long as a gradient of now the average is, with an interval.

        A gradient's length is the root of the mean square over batches. No average of gradients is
        longer than the longest of them.
        """
        squares = np.asarray(self.squares, float)[:, self._kept].sum(axis=1)
        low, high = mean_interval(squares, confidence)
        value, least, most = (
            self.length / math.sqrt(square) if square > 0 else math.inf
            for square in (float(squares.mean()), high, low)
        )
        return value, least, most

    @property
    def agreed(self) -> float:
        """Return how far past gradients pointed the same way, 1 at most if they kept their length.

        It is the norm of their average over the root of their mean square, which for gradients of
        one length is their mean cosine with the average; NaN where no second moment is kept.
        """
        roots = float(np.linalg.norm(np.asarray(self.roots, float)[self._kept]))
        return self.length / roots if roots > 0 else math.nan

    def agree(self, confidence: float = 0.95) -> tuple[float, float, float]:
        """Return the mean cosine of the gradients of now with the average, with its interval."""
        kept = self._kept
        squares = np.asarray(self.squares, float)[:, kept].sum(axis=1)
        products = np.asarray(self.along, float)[:, kept].sum(axis=1)
        sizes = np.sqrt(squares) * self.length
        cosines = np.divide(products, sizes, out=np.zeros_like(products), where=sizes > 0)
        return float(cosines.mean()), *self._within(mean_interval(cosines, confidence))

    @staticmethod
    def _within(interval: Interval) -> Interval:
        return max(-1.0, interval[0]), min(1.0, interval[1])


@dataclass(frozen=True)
class GradientMemoryOver(Riding[GradientMemory]):
    """Asks for the average that the optimizer keeps and the gradients of batches beside it."""

    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = GradientMemory
    depth: ClassVar = Depth.BACKWARD
    mode: ClassVar[Mode] = "train"
    requires: ClassVar[frozenset[Capability]] = frozenset({"loss"})
