"""How much fresh copies of the model can fit: true targets and shuffled ones."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

TRIED = 25
"""Steps at each learning rate that is tried before one is taken."""

LONGER = 600
"""Steps that copies which fall behind a linear model are given at most, at each rate."""

RATES = (1e-3, 3e-3, 1e-2)
"""Learning rates of Adam that are tried."""

BATCHES = 16
"""Batches that the examples are divided into at most."""


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
    would not bring the loss to that of the linear model.

    `parameters` counts the trainable ones, `frozen` the others. `examples` and `targets` are what
    the training split holds, reckoned from the batches that were read; where its end is not known
    it holds more, and `all_counted` is False. `layers` and `widths` are the layers but the last,
    and how many numbers each passes on; `outputs` is how many the model puts out.
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
    layers: tuple[str, ...]
    widths: tuple[int, ...]
    outputs: int | None = None
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

    def slowness(self) -> Array:
        """Return, for each seed, how many times the loss on true targets that on others comes to.

        Both are means over all steps, that is areas under the curves. Nothing where a loss is
        negative or not finite, of which no ratio can be taken.
        """
        true, random = np.asarray(self.true, float), np.asarray(self.random, float)
        if true.shape != random.shape or not (np.isfinite(true) & np.isfinite(random)).all():
            return np.zeros(0)
        if (true < 0).any() or (random < 0).any() or not true.size:
            return np.zeros(0)
        means = true.mean(axis=1)
        return random.mean(axis=1) / means if (means > 0).all() else np.zeros(0)

    def narrowest(self) -> tuple[str, int] | None:
        """Return the narrowest layer before the last, where it passes on less than is put out.

        Logits of C classes, whose common level does not matter, need C - 1 numbers.
        """
        if not self.widths or not self.outputs:
            return None
        needed = self.outputs - 1 if self.metric == "accuracy" else self.outputs
        place = int(np.argmin(self.widths))
        return (self.layers[place], self.widths[place]) if self.widths[place] < needed else None


@dataclass(frozen=True)
class CapacityOver(Request[Capacity]):
    """Asks what fresh copies fit of some training examples, in so many steps, by seed."""

    examples: int = 256
    steps: int = 150
    seeds: int = 8

    answer: ClassVar = Capacity
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory", "train", "loss"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes at most, those of copies that have to be trained on among them."""
        if not batches.get("train"):
            return Cost()
        steps = len(RATES) * (TRIED + LONGER) + 2 * self.seeds * self.steps
        scorings = (2 * self.seeds + len(RATES)) * BATCHES
        linear = 2 * LINEAR_STEPS
        return Cost(1 + steps + scorings, steps + linear)


LINEAR_STEPS = 400
"""Steps that the linear model is fitted for, at each of two rates."""
