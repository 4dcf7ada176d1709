"""What a term of the loss that judges no answers costs those that do, tried on fresh models."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import mean_interval
from auditor.core.values import Array

MOST_TRIED = 3
"""Terms that are left out in turn, at most."""

SEEDS = 2
"""Fresh models for each trial."""

HELD = 8
"""Batches on which all of them are scored."""

NOTABLE = 0.1
"""Share of the loss at the start that has to be gained for a trial to say something."""


@dataclass(frozen=True)
class TermTrial:
    """Fresh models trained by the whole loss, and the same ones without `term`.

    `start`, `whole` and `without` [rows] are what the terms that look at targets are worth before
    training and after either run, each row one batch for one seed.
    """

    term: str
    start: Array
    whole: Array
    without: Array

    @property
    def tells(self) -> bool:
        """Return whether anything of note is learnt without the term."""
        start, gained = float(np.mean(self.start)), float(np.mean(self.start - self.without))
        return gained > NOTABLE * abs(start)

    def kept(self) -> float:
        """Return which share of what is gained without the term is gained with it."""
        start = float(np.mean(self.start))
        return (start - float(np.mean(self.whole))) / (start - float(np.mean(self.without)))

    def drowns(self, share: float, confidence: float) -> bool:
        """Tell whether less than a share of what is gained without the term is gained with it."""
        start = np.asarray(self.start, float)
        without, whole = (start - np.asarray(one, float) for one in (self.without, self.whole))
        if not self.tells or not mean_interval(without, confidence)[0] > 0:
            return False
        return mean_interval(whole - share * without, confidence)[1] < 0


@dataclass(frozen=True)
class TermTrials:
    """One trial for each term that does not look at the targets."""

    trials: tuple[TermTrial, ...]
    steps: int


@dataclass(frozen=True)
class TermTrialsOver(Request[TermTrials]):
    """Asks what is learnt in `steps` steps with and without each term that looks at no target."""

    steps: int = 80

    answer: ClassVar = TermTrials
    depth: ClassVar = Depth.BACKWARD
    scaled: ClassVar = ("steps",)
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "train", "loss", "factory"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the steps of each run, and the scoring before and after."""
        steps = SEEDS * (1 + MOST_TRIED) * self.steps
        held = min(HELD, batches.get("val", batches.get("train", 0)))
        return Cost(steps + SEEDS * (2 + MOST_TRIED) * held, steps)
