"""How much worse the checkpoint does on inputs that belong to other targets."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import mean_interval, paired_bootstraps
from auditor.core.values import Array, Number

SURE = 0.995
"""Confidence of an interval that decides: 99 % for the two measures together."""
FEWEST_WRONG = 30
"""Examples that the constant must get wrong for accuracy to be compared."""


@dataclass(frozen=True)
class Worsening:
    """The worsening by one measure, as a share of what a constant gets, with its intervals."""

    measure: str
    value: float
    low: float
    high: float
    sure_low: float
    sure_high: float


@dataclass(frozen=True)
class InputUse:
    """Losses with the inputs as they are, and with those of another example.

    Each row is an example, or a batch where only the loss of a batch can be told (`per` says
    which). `own` [rows] is its loss, `others` [permutations, rows] the same with the inputs of
    another example each time, in evaluation mode. `metric` names it: "cross-entropy" of an
    example's own targets, "squared error", "absolute error" or "loss". `constant` is the mean loss
    of the one answer that suits these targets best, NaN where it is not known. `wrong`,
    `wrong_others` and `wrong_constant` are the same of the share of targets predicted wrong, empty
    and NaN where nothing is classified.

    `targets` and `inputs` are the numbers of different ones among `examples`.
    """

    own: Array
    others: Array
    metric: Literal["cross-entropy", "squared error", "absolute error", "loss"]
    per: Literal["example", "batch"]
    constant: Number
    wrong: Array
    wrong_others: Array
    wrong_constant: Number
    examples: int
    targets: int
    inputs: int
    split: str

    def worsenings(self, rng: np.random.Generator) -> list[Worsening]:
        """Return the worsening by each measure whose constant answer is known, the loss first.

        Predictions that no exchange changes say nothing by their being right or wrong.
        """
        sides: list[tuple[str, Array, Array, float, float]]
        sides = [(self.metric, self.own, self.others, self.constant, 0.0)]
        if not (np.asarray(self.wrong_others) == self.wrong).all():
            name = "share of wrong answers"
            constant = self.wrong_constant
            sides.append((name, self.wrong, self.wrong_others, constant, FEWEST_WRONG))
        found = []
        for name, own, others, constant, least in sides:
            if not (constant > 0 and constant * len(own) > least):
                continue
            rows, moved = np.asarray(own, float), np.asarray(others, float).mean(axis=0)
            value = float((moved - rows).mean()) / constant
            spans = paired_bootstraps(moved, rows, rng, (0.95, SURE))
            (low, high), (sure_low, sure_high) = ((a / constant, b / constant) for a, b in spans)
            bounds = min(low, value), max(high, value), min(sure_low, value), max(sure_high, value)
            found.append(Worsening(name, value, *bounds))
        return found

    @property
    def excess(self) -> float:
        """Return by how much the own loss lies above a constant's at least, as a share of it."""
        return mean_interval(self.own, SURE)[0] / self.constant - 1


@dataclass(frozen=True)
class InputUseOver(Request[InputUse]):
    """Asks for the checkpoint's losses with the inputs exchanged among examples."""

    batches: int = 16
    permutations: int = 4
    split: Literal["train", "val"] = "val"

    answer: ClassVar = InputUse
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    scaled: ClassVar = ("batches",)
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return a pass over the batches as they are and one for each permutation."""
        return Cost((1 + self.permutations) * min(self.batches, batches.get(self.split, 0)))
