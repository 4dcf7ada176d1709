"""How much fresh copies of the model can fit: true targets and shuffled ones."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

TRIED = 25
"""Steps at each learning rate that is tried before one is taken."""

LONGER = 600
"""Steps that copies which fall behind a linear model are given at most, at each rate."""

AGAIN = 4
"""Times as many steps that copies are given which did not learn random targets."""

RATES = (1e-3, 3e-3, 1e-2)
"""Learning rates of Adam that are tried."""

BATCHES = 16
"""Batches that the examples are divided into at most."""

FEW_SEEDS = 3
"""Seeds for models of few parameters and for costly ones; the least there are."""

LINEAR_STEPS = 400
"""Steps that the linear model is fitted for, at each of two rates."""

LEARNT = 0.5
"""Share of the constant's error below which random targets count as learnt."""


@dataclass(frozen=True)
class Strait:
    """Where all that the model tells examples apart by passes through too few numbers.

    By `side`, it is what `layer` takes in or what it passes on: `numbers` for each example, fewer
    than the model is given and than the `needed` ones, which its outputs are made of. Logits of C
    classes, whose common level does not matter, need C - 1. `source` is the last layer with
    weights that everything passes through before; it may be that very one, and is empty where
    there is none.
    """

    layer: str
    side: Literal["in", "out"]
    numbers: int
    needed: int
    source: str


@dataclass(frozen=True)
class Capacity:
    """What fresh copies of the model fit of `subset` training examples, without dropout.

    `true` and `random` [seeds, steps] are the losses of copies trained on the targets as they are
    and on the same targets dealt to other examples; both from the same weights, on the same
    batches, by Adam at `rate`. `metric` names, as in `Performance`, the scores on these examples:
    `true_scores` [seeds, examples] and `random_scores`, each of the copies on the targets that it
    was trained on; `linear_scores` [examples] of a linear model of `linear_parameters` fitted to
    the same, or nothing where there is none, `linear_missing` saying why. `constant_error` is the
    mean error of the constant that suits these examples best.

    Where the linear model came out ahead, `longer_scores` [examples] and `longer` [steps] are the
    best scores, and their losses, of copies that were trained longer at each of `RATES`;
    `out_of_reach` tells that at the pace of their end, which can only slacken, as many steps again
    would not bring the loss to that of the linear model, and `strait` is then where they let too
    little through, if they do.

    `parameters` counts the trainable ones, `frozen` the others. `examples` and `targets` are what
    the training split holds, reckoned from the batches that were read; where its end is not known
    it holds more, and `all_counted` is False.
    """

    parameters: int
    frozen: int
    examples: int
    targets: int
    all_counted: bool
    subset: int
    rate: Number
    metric: str
    true: Array
    random: Array
    true_scores: Array
    random_scores: Array
    linear_scores: Array
    linear_parameters: int
    linear_missing: str
    constant_error: Number
    longer_scores: Array
    longer: Array
    out_of_reach: bool
    strait: Strait | None = None
    note: str = ""

    @property
    def per_target(self) -> float:
        """Return the number of trainable parameters for each target of the training data."""
        return self.parameters / max(self.targets, 1)

    def error(self, scores: Array) -> float:
        """Return the mean error, in shares of that of the best constant; NaN of no scores."""
        if not np.size(scores):
            return math.nan
        mean = float(np.mean(scores))
        error = 1 - mean if self.metric == "accuracy" else mean
        return error / self.constant_error if self.constant_error > 0 else math.nan

    @property
    def learnt(self) -> bool:
        """Tell whether copies learnt random targets by heart."""
        error = self.error(self.random_scores)
        if not math.isnan(error):
            return error < LEARNT
        losses = np.asarray(self.random, float)
        return bool(losses.size and losses[:, -1].mean() < LEARNT * losses[:, 0].mean())

    def slowness(self) -> Array:
        """Return, for each seed, how many times the loss on true targets that on others comes to.

        Both are means over all steps, that is areas under the curves. A loss above those that the
        copies started from counts as no more than these: a leap says nothing of how fast they
        learn. Nothing where a loss is negative or not finite, of which no ratio can be taken.
        """
        true, random = np.asarray(self.true, float), np.asarray(self.random, float)
        if true.shape != random.shape or not (np.isfinite(true) & np.isfinite(random)).all():
            return np.zeros(0)
        if (true < 0).any() or (random < 0).any() or not true.size:
            return np.zeros(0)
        start = np.maximum(true, random)[:, :1]
        means = np.minimum(true, start).mean(axis=1)
        others = np.minimum(random, start).mean(axis=1)
        return np.asarray(others / means) if (means > 0).all() else np.zeros(0)


@dataclass(frozen=True)
class CapacityOver(Request[Capacity]):
    """Asks what fresh copies fit of some training examples, in so many steps, by seed."""

    examples: int = 256
    steps: int = 150
    seeds: int = 8

    answer: ClassVar = Capacity
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory", "train", "loss"})
    scaled: ClassVar = ("seeds",)
    at_most: ClassVar = True

    @property
    def all_steps(self) -> int:
        """Return the steps at most, those of copies that have to be trained longer among them."""
        runs = 2 * max(self.seeds, FEW_SEEDS)
        return len(RATES) * (TRIED + LONGER) + runs * (1 + AGAIN) * self.steps

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes at most."""
        if not batches.get("train"):
            return Cost()
        scorings = (4 * max(self.seeds, FEW_SEEDS) + len(RATES)) * BATCHES
        return Cost(1 + self.all_steps + scorings, self.all_steps + 2 * LINEAR_STEPS)
