"""What batch normalisation remembers, against what it is given."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Depth, Riding
from auditor.core.values import Array, Number

TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class BatchNormLayer:
    """One layer, per channel: its running statistics, and the mean and sum of squared deviations
    of the `count` values per channel that it was given.

    The examples were seen in `groups`, each with a mean m and a mean square q about the running
    mean. `scatter` [3, channels] holds the sums over groups of (Δm)², Δm Δq and (Δq)², deviations
    from the means over all, each times the group's number of values; it is empty where not known.
    Where the layer normalises each example `within` itself, so are squared deviations.
    """

    layer: str
    eps: Number
    running_mean: Array
    running_var: Array
    count: int
    mean: Array
    squares: Array
    groups: int = 0
    scatter: Array | None = None
    within: bool = False

    @staticmethod
    def of(
        layer: str,
        eps: float,
        running_mean: Array,
        running_var: Array,
        counts: Array,
        means: Array,
        variances: Array,
        within: bool = False,
    ) -> "BatchNormLayer":
        """Return a layer from the moments of its groups, [groups] and [groups, channels]."""
        weights = np.asarray(counts, float)[:, None]
        total = float(weights.sum())
        with np.errstate(invalid="ignore", over="ignore"):
            mean = (weights * means).sum(axis=0) / total
            between = (weights * (means - mean) ** 2).sum(axis=0)
            squares = (weights * variances).sum(axis=0) + (0.0 if within else between)
            about = variances + (means - running_mean) ** 2
            off = about - (weights * about).sum(axis=0) / total
            crossed = (weights * (means - mean) * off).sum(axis=0)
            scatter = np.stack([between, crossed, (weights * off**2).sum(axis=0)])
        return BatchNormLayer(
            layer,
            eps,
            running_mean,
            running_var,
            int(total),
            mean,
            squares,
            len(weights),
            scatter,
            within,
        )

    @property
    def variance(self) -> Array:
        """Return the variance of what the layer was given, per channel."""
        return np.asarray(self.squares / max(self.count, 1))

    @property
    def about(self) -> Array:
        """Return the mean square of what the layer was given about its running mean."""
        return np.asarray(self.variance + (np.asarray(self.mean, float) - self.running_mean) ** 2)

    @property
    def remembered(self) -> Array:
        """Return the running variance with eps added, never quite zero."""
        return np.maximum(np.asarray(self.running_var, float) + self.eps, TINY)

    @property
    def divergence(self) -> Array:
        """Return ½ (ln(v'/v) + (v + (m - m')²) / v' - 1), per channel, in nats.

        It is the Kullback-Leibler divergence from the normal distribution of the data, N(m, v), to
        the remembered one, N(m', v'), with eps added to both variances.
        """
        given = np.maximum(np.maximum(self.variance, 0) + self.eps, TINY)
        with np.errstate(over="ignore", invalid="ignore"):
            ratio = (given + (np.asarray(self.mean, float) - self.running_mean) ** 2) / (
                self.remembered
            )
            return np.asarray(0.5 * (np.log(self.remembered) - np.log(given) + ratio - 1))

    @property
    def error(self) -> Array:
        """Return the standard error of the divergence, per channel; infinite where not known.

        By the delta method over groups: with q the mean square about m', the derivatives are
        (1/v' - 1/v) / 2 by q and (m - m') / v by m.
        """
        if self.groups < 2 or self.scatter is None:
            return np.full(len(self.running_mean), np.inf)
        given = np.maximum(np.maximum(self.variance, 0) + self.eps, TINY)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            by_square = 0.5 * (1 / self.remembered - 1 / given)
            by_mean = (np.asarray(self.mean, float) - self.running_mean) / given
            spread = (
                by_mean**2 * self.scatter[0]
                + 2 * by_mean * by_square * self.scatter[1]
                + by_square**2 * self.scatter[2]
            ) / (max(self.count, 1) * (self.groups - 1))
            known = np.nan_to_num(spread, nan=np.inf, posinf=np.inf)
            return np.asarray(np.sqrt(np.maximum(known, 0)))

    def typical(self, confidence: float = 0.95) -> tuple[float, float, float]:
        """Return the median divergence over channels with its interval.

        The bounds are the medians of the channels' own bounds, D ± t(groups - 1) times the error:
        those of channels that err together, and too wide for channels that do not.
        """
        divergence = self.divergence
        value = float(np.median(divergence))
        if self.groups < 2:
            return value, -math.inf, math.inf
        from scipy.special import stdtrit

        with np.errstate(invalid="ignore"):
            reach = float(stdtrit(self.groups - 1, (1 + confidence) / 2)) * self.error
            low, high = np.median(divergence - reach), np.median(divergence + reach)
        return value, max(0.0, float(low)), float(high)

    def _about_groups(self, scatter: Array) -> Array:
        """Return the mean over groups of their mean square about the running mean."""
        return self.about + (scatter[0] / max(self.count, 1) if self.within else 0.0)

    def merge(self, other: "BatchNormLayer") -> "BatchNormLayer":
        """Return the statistics over the values of both (Chan et al. 1979)."""
        count = self.count + other.count
        delta = other.mean - self.mean
        share = other.count / max(count, 1)
        between = delta**2 * self.count * share
        scatter = None
        if self.scatter is not None and other.scatter is not None:
            apart = other._about_groups(other.scatter) - self._about_groups(self.scatter)
            joint = np.stack([delta**2, delta * apart, apart**2]) * self.count * share
            scatter = self.scatter + other.scatter + joint
        return BatchNormLayer(
            self.layer,
            self.eps,
            self.running_mean,
            self.running_var,
            count,
            self.mean + delta * share,
            self.squares + other.squares + (0.0 if self.within else between),
            self.groups + other.groups,
            scatter,
            self.within,
        )


@dataclass(frozen=True)
class BatchNormStatistics:
    """Every layer that keeps running statistics, in the order of execution."""

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
