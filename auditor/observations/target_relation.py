"""Whether inputs and targets of a split belong together, as far as simple means can tell."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import UNKNOWN, mean_interval
from auditor.core.values import Array, Number

EXAMPLES = 512
"""Examples of a split that are looked at."""

DRAWN = 64
"""Batches of a split that they are drawn from at most."""

FEWEST = 40
"""Examples of a split below which nothing is said of it: ten right answers in ten are no proof."""

EACH = 5
"""Examples of a class below which it is left out, in either split."""

KNOWS = 0.1
"""Share of a constant's errors that the model is without, from which on it has learnt from pairs
that belong together."""

RELATED = 0.01
"""Probability under random pairing up to which a split shows that its pairs belong together."""

SILENT = 0.05
"""The same above which it shows nothing at all."""

TOLD = 0.05
"""Share of the targets' variance that one split must tell at least, for the other to be torn."""

TIMES = 2.0
"""How many times as much as the other it must tell."""

SURE = 0.99

FITS = 0.3
"""Share of a constant's errors that a model is without on data that it has learnt by heart."""

ENOUGH = 200
"""Examples from which on nothing found in either split says something."""

NOTHING = 0.1
"""Share of the variance that must be out of reach for that."""


@dataclass(frozen=True)
class Relation:
    """How well targets are told by inputs within some examples.

    `chance` is the probability that pairs drawn at random look as related. `errors` [examples] are
    squared errors of each example's target when predicted from all others by the better of linear
    and Gaussian kernel ridge regression, `constant` [examples] those of the others' mean.
    """

    chance: Number
    errors: Array
    constant: Array

    @property
    def told(self) -> float:
        """Return the share of the targets' variance that inputs tell."""
        return float(1 - np.mean(self.errors) / np.mean(self.constant))

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the interval of that share, at 99 %."""
        scale = float(np.mean(self.constant))
        low, high = mean_interval((self.constant - self.errors) / scale, SURE)
        return low, high


@dataclass(frozen=True)
class Answers:
    """The model's `errors` [examples] on some data, and the mean error of the best `constant`."""

    errors: Array
    constant: Number

    @property
    def without(self) -> tuple[float, float]:
        """Return the share of a constant's errors that the model is without: bounds at 99 %.

        Fewer than 40 examples bound nothing.
        """
        if len(self.errors) < FEWEST:
            return UNKNOWN
        low, high = mean_interval(np.asarray(self.errors, float) / float(self.constant), SURE)
        return 1 - high, 1 - low


@dataclass(frozen=True)
class TargetRelation:
    """What pairs of inputs and targets tell.

    `model` is how the checkpoint does on each split. Where it is well beyond a constant on
    validation data nothing else was looked at. `whole` is each split by itself; `cut` is it again
    with no more examples, of no class, than the other has. `reason` says why a split can't be told.
    """

    model: dict[Split, Answers]
    whole: dict[Split, Relation] = field(default_factory=dict)
    cut: dict[Split, Relation] = field(default_factory=dict)
    reason: str = ""

    @property
    def known(self) -> bool:
        """Tell whether the model itself shows that training pairs belong together."""
        return self.model["val"].without[0] > KNOWS


Torn = Literal["train", "val", "both", ""]


def torn(told: TargetRelation) -> Torn:
    """Return the split whose pairs are torn: the other's surely belong together, its own do not.

    Of both where neither tells anything, though the model knows its training data by heart, and
    validation surely no better than a constant does, or hardly.
    """
    if told.known or not told.whole:
        return ""
    pairs: tuple[tuple[Split, Split], ...] = (("train", "val"), ("val", "train"))
    for own, other in pairs:
        mine, theirs = told.whole[own], told.cut[other]
        least = max(TOLD, TIMES * max(mine.bounds[1], 0.0))
        if mine.chance > RELATED and theirs.chance <= RELATED and theirs.bounds[0] > least:
            return own
    silent = all(
        one.chance > SILENT and one.bounds[1] < NOTHING and len(one.errors) >= ENOUGH
        for one in told.whole.values()
    )
    by_heart = "train" in told.model and told.model["train"].without[0] > FITS
    low, high = told.model["val"].without
    return "both" if silent and by_heart and low <= 0 and high < KNOWS else ""


@dataclass(frozen=True)
class TargetRelationOver(Request[TargetRelation]):
    """Asks whether inputs and targets of either split belong together."""

    batches: int = 16

    answer: ClassVar = TargetRelation
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "train", "val", "loss"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the checkpoint's passes over both splits."""
        return Cost(forwards=sum(min(DRAWN, batches.get(s, 0)) for s in ("train", "val")))
