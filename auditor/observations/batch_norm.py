"""What batch normalisation remembers, against what it is given."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Depth, Riding
from auditor.core.values import Array, Number


@dataclass(frozen=True)
class BatchNormLayer:
    """One layer, per channel: its running statistics, and the mean and sum of squared deviations
    of the `count` values per channel that it was given.
    """

    layer: str
    eps: Number
    running_mean: Array
    running_var: Array
    count: int
    mean: Array
    squares: Array

    @property
    def variance(self) -> Array:
        """Return the variance of what the layer was given, per channel."""
        return np.asarray(self.squares / max(self.count, 1))

    def merge(self, other: "BatchNormLayer") -> "BatchNormLayer":
        """Return the statistics over the values of both (Chan et al. 1979)."""
        count = self.count + other.count
        delta = other.mean - self.mean
        share = other.count / max(count, 1)
        return BatchNormLayer(
            self.layer,
            self.eps,
            self.running_mean,
            self.running_var,
            count,
            self.mean + delta * share,
            self.squares + other.squares + delta**2 * self.count * share,
        )


@dataclass(frozen=True)
class BatchNormStatistics:
    """Every batch-norm layer that keeps running statistics, in the order of execution."""

    layers: tuple[BatchNormLayer, ...]
    examples: int
    split: str

    def merge(self, other: "BatchNormStatistics") -> "BatchNormStatistics":
        """Return the statistics over the examples of both."""
        theirs = {layer.layer: layer for layer in other.layers}
        ours = {layer.layer for layer in self.layers}
        both = [a.merge(theirs[a.layer]) if a.layer in theirs else a for a in self.layers]
        fresh = [layer for layer in other.layers if layer.layer not in ours]
        return BatchNormStatistics((*both, *fresh), self.examples + other.examples, self.split)


@dataclass(frozen=True)
class BatchNormStatisticsOver(Riding[BatchNormStatistics]):
    """Asks what batch-norm layers are given with the model in evaluation mode."""

    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = BatchNormStatistics
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"batch_norm"})
