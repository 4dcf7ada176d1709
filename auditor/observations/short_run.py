"""Short training runs from fresh weights, on real inputs or on blank ones."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import mean_interval
from auditor.core.subject import TargetFacts
from auditor.core.values import Array, Number

PROBES = 8
"""Batches whose loss is taken before, half way through and after a run, dropout off."""

LOOKS = 3
"""How often they are looked at."""

WIDER = (0.01, 1e-3, 1e-4, 1e-5, 100.0, 1e3, 1e4, 1e5)
"""Factors of the learning rate that are tried where neither it nor a tenth or ten times of it
gets anywhere."""

FACTORS = (10.0, 0.1)
"""Factors of the learning rate that are always tried."""

SAME = 1e-5
"""Share of a loss that rounding stays below."""

CATEGORICAL = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


@dataclass(frozen=True)
class Run:
    """One run: `losses` [steps] before each step, in training mode.

    `probes` [3, batches] is the loss of some training batches before, half way and after, with
    dropout off, each batch after the last step that had a finite loss.
    """

    factor: Number
    losses: Array
    probes: Array

    @property
    def lost(self) -> int | None:
        """Return the number of the first step whose loss is not finite."""
        gone = np.flatnonzero(~np.isfinite(np.asarray(self.losses, float)))
        return int(gone[0]) + 1 if gone.size else None

    @property
    def finite(self) -> bool:
        """Tell whether every loss of the run is finite."""
        probes = np.asarray(self.probes, float)
        return self.lost is None and bool(np.isfinite(probes).all())


@dataclass(frozen=True)
class Gain:
    """How much lower some runs end than others, as a share of the loss there.

    With the 95 % interval over their probes; `same` tells whether all end alike, to five digits.
    """

    value: float
    low: float
    high: float
    same: bool


@dataclass(frozen=True)
class ShortRuns:
    """Runs of `optimizer` at `learning_rate` from different fresh weights, on the same batches.

    `others` are runs from the first of these weights at other learning rates. `instead` says why
    the optimizer is not the declared one, `note` what had to be done differently. `loss` is the
    name of a loss of torch computed plainly, else empty; `targets` is the distribution of the
    probes' targets. `alike` tells whether all examples looked at have the same inputs.
    """

    runs: tuple[Run, ...]
    others: tuple[Run, ...]
    steps: int
    examples: int
    batches: int
    optimizer: str
    learning_rate: Number
    instead: str
    loss: str
    targets: TargetFacts
    inputs: Literal["real", "blank"]
    alike: bool
    split: str
    note: str = ""

    @property
    def constant(self) -> float:
        """Return the loss of the best constant answer to the probes; NaN where it is not known."""
        return constant_loss(self.loss, self.targets)

    def gain_over(self, other: "ShortRuns") -> Gain | None:
        """Return how much lower these runs end; None where they are not in pairs, or lost."""
        if len(self.runs) != len(other.runs):
            return None
        if not all(run.finite for run in (*self.runs, *other.runs)):
            return None
        ours, theirs = (
            np.concatenate([np.asarray(run.probes[-1], float) for run in side.runs])
            for side in (self, other)
        )
        if ours.shape != theirs.shape:
            return None
        shares = (theirs - ours) / (abs(float(theirs.mean())) or 1.0)
        value = float(shares.mean())
        low, high = mean_interval(shares) if len(shares) > 1 else (value, value)
        return Gain(value, low, high, bool(np.allclose(ours, theirs, rtol=SAME, atol=1e-12)))


@dataclass(frozen=True)
class ShortRunsOver(Request[ShortRuns]):
    """Asks for short runs from fresh weights, on the inputs as they are or set to zero.

    With real inputs other learning rates are tried as well, from the first weights.
    """

    inputs: Literal["real", "blank"] = "real"
    seeds: int = 3
    steps: int = 100
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = ShortRuns
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory", "loss"})
    scaled: ClassVar = ("seeds",)
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of all runs, if no loss is lost and every learning rate is tried."""
        runs = self.seeds + (len(FACTORS) + len(WIDER) if self.inputs == "real" else 0)
        return Cost(runs * (self.steps + LOOKS * PROBES), runs * self.steps)


def constant_loss(loss: str, facts: TargetFacts) -> float:
    """Return the least loss that one answer to all inputs can have; NaN where it is not known.

    It is the entropy of the class frequencies for cross-entropy, the variance for squared and the
    mean absolute deviation for absolute error.
    """
    if loss == "mse_loss":
        return float(np.mean(facts.variance)) if facts.variance else math.nan
    if loss == "l1_loss":
        spread = facts.mean_absolute_deviation
        return float(np.mean(spread)) if spread else math.nan
    if loss not in (*CATEGORICAL, *BINARY) or not facts.counts:
        return math.nan
    groups: dict[int, list[int]] = {}
    for index, count in zip(facts.classes, facts.counts, strict=True):
        groups.setdefault(index // 2 if loss in BINARY else 0, []).append(count)
    shares = [np.asarray(group, float) / max(sum(group), 1) for group in groups.values()]
    return float(
        np.mean([-(share[share > 0] * np.log(share[share > 0])).sum() for share in shares])
    )
