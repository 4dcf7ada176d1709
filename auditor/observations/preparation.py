"""Whether validation inputs are prepared as those that the model learnt from."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array

MOST = 16
"""Ways to arrange the inputs that are tried at most."""


@dataclass(frozen=True)
class Prepared:
    """The checkpoint in evaluation mode, its inputs as they are and arranged otherwise.

    Some validation examples, every second of the first, chose among the ways `tried`, by the mean
    loss in `losses` [tried]; the rest were measured with the `best` alone. `before` and `after`
    [examples] are their cross-entropies in nats, or errors where the task is a regression;
    `right_before` and `right_after` the share of an example's targets that are right, or the same
    errors. `constant` is the mean loss of the best constant. `train_before`, `train_after`,
    `train_right_before` and `train_right_after` are the same of training examples, empty where
    there are none. Without a way that applies, `tried` is empty and `after` is `before`.

    `told` [examples] tells of training and validation examples, taken half and half, whether a
    linear model that did not learn from them knows them apart; empty where it could not be tried.
    """

    metric: Literal["accuracy", "squared error", "absolute error"]
    tried: tuple[str, ...]
    losses: Array
    best: str
    before: Array
    after: Array
    right_before: Array
    right_after: Array
    constant: float
    train_before: Array
    train_after: Array
    train_right_before: Array
    train_right_after: Array
    told: Array

    @property
    def higher(self) -> bool:
        """Tell whether more of the score is better."""
        return self.metric == "accuracy"


@dataclass(frozen=True)
class PreparedOver(Request[Prepared]):
    """Asks for the checkpoint's loss with its inputs turned, reordered or renumbered."""

    batches: int = 8

    answer: ClassVar = Prepared
    depth: ClassVar = Depth.FORWARD
    scaled: ClassVar = ("batches",)
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss", "val"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return a pass per batch and way, two to measure, and two over training data."""
        val = min(self.batches, batches.get("val", 0))
        train = min(self.batches, batches.get("train", 0))
        return Cost(forwards=(MOST + 3) * val + 2 * train)


def score(right: Array) -> float:
    """Return the mean score; NaN of none."""
    return float(np.mean(right)) if len(right) else float("nan")
