"""What further training does to copies of the checkpoint."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import Interval, mean_interval
from auditor.core.values import Array, Number

SCORED = 7
"""Batches of each split that a copy is scored on, before and after."""

DECLARED_RUNS = 2
"""Copies that are trained on as declared: each on batches of its own."""

SURE = 0.99
"""Confidence with which a copy is said to be better."""

NOTABLE = 0.02
"""Gain from so few steps, in a constant's losses, from which on a model is not trained to the end:
healthy models of eleven families and four samples gain 0.004 at most beyond doubt, those stopped
after an epoch 0.03 to 0.4. Where it is shown nothing else is tried."""

FREED = "Adam at 0.001 without weight decay and dropout"
"""How a copy is trained that nothing is to hold back."""

FASTER = (10.0, 30.0)
"""How many times the declared rate copies are trained at that neither way moves."""

MUCH = 0.5
"""Share of a constant's loss left on training data from which a higher rate is tried. Where targets
are noisy, as much may be left for good: then none helps on validation data."""

Way = Literal["declared", "freed", "faster"]


def _none() -> Array:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class Progress:
    """The losses of some examples of one split, before and after further training.

    `before` is [examples], `declared`, `freed` and `faster` [runs, examples]: copies that went on
    as declared, one that was trained without what may hold it back, and one at a higher rate; no
    rows where that was not tried. `right` are the shares of each example's targets that are
    answered right, in the same order, no columns where there are none. `scale` is what counts as
    one: the loss of the best constant answer on these examples, or where that is not known, what a
    fresh model loses more than the checkpoint does in training. It is NaN where neither is known.
    """

    before: Array
    declared: Array
    freed: Array
    right_before: Array
    right_declared: Array
    right_freed: Array
    scale: Number
    faster: Array = field(default_factory=_none)
    right_faster: Array = field(default_factory=_none)

    def after(self, way: Way) -> Array:
        """Return the losses after training in one way, [runs, examples]."""
        runs = {"declared": self.declared, "freed": self.freed, "faster": self.faster}
        return np.asarray(runs[way], float)

    def right_after(self, way: Way) -> Array:
        """Return the shares of right answers after training in one way, [runs, examples]."""
        runs = {
            "declared": self.right_declared,
            "freed": self.right_freed,
            "faster": self.right_faster,
        }
        return np.asarray(runs[way], float)

    def gain(self, way: Way) -> tuple[float, float, float] | None:
        """Return by how much the loss falls, in units of `scale`, with its 99 % interval.

        Examples are paired with themselves. Of several runs the interval of the mean over them is
        widened to hold that of each run. None where it can't be told.
        """
        runs = self.after(way)
        if not len(runs) or not runs.size or not self.scale > 0:
            return None
        fallen = np.asarray(self.before, float) - runs
        if not np.isfinite(fallen).all():
            return None
        intervals = [mean_interval(row, SURE) for row in (*fallen, fallen.mean(axis=0))]
        low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
        return float(fallen.mean()) / self.scale, low / self.scale, high / self.scale

    def right_change(self, way: Way) -> Interval | None:
        """Return the 99 % interval of how the share of right answers changes, None without one."""
        runs = self.right_after(way)
        if not runs.size:
            return None
        return mean_interval((runs - np.asarray(self.right_before, float)).mean(axis=0), SURE)


@dataclass(frozen=True)
class Continued:
    """Copies of the checkpoint before and after some more training.

    `unit` names the loss that is compared: "cross-entropy", "squared error" or "absolute error" of
    each example, or "loss", that of whole batches as the subject defines it. `declared_losses`
    [runs, steps], `freed_losses` and `faster_losses` are the losses of training before each step,
    NaN after the end of a run. `optimizer` says what the declared way was, `rate` at which learning
    rate; `note` why it is not quite what was declared, and `restored` whether its moments went on.
    `faster_rate` is the higher rate that was tried last, the first that helped, NaN where none was.
    `planned` steps were asked for, `steps` could be afforded. `fresh` is the mean loss of a fresh
    model on the validation batches where `unit` is "loss", else NaN.
    """

    unit: str
    train: Progress
    val: Progress
    declared_losses: Array
    freed_losses: Array
    optimizer: str
    rate: Number
    restored: bool
    note: str
    steps: int
    planned: int
    fresh: Number = float("nan")
    faster_losses: Array = field(default_factory=_none)
    faster_rate: Number = float("nan")

    @property
    def left(self) -> float | None:
        """Return what is left of a constant's loss on training data, None where it is not known."""
        if self.unit == "loss" or not self.train.scale > 0:
            return None
        return float(np.mean(self.train.before)) / float(self.train.scale)


@dataclass(frozen=True)
class ContinuedFrom(Request[Continued]):
    """Asks for some `steps` more of training on copies.

    Two go on as declared, and where they gain nothing of note one is trained by Adam at 0.001
    without weight decay and dropout. Where that gains nothing either, and `MUCH` of a constant's
    loss is left, others go on at higher rates until one gains. They are scored on the first batches
    of each split, and trained on those that follow, each on others.
    """

    steps: int = 19

    answer: ClassVar = Continued
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss", "train", "val"})
    at_most: ClassVar = True

    @property
    def runs(self) -> int:
        """Return how many copies are trained at most."""
        return DECLARED_RUNS + 1 + len(FASTER)

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the steps of all copies, and the scores before and after; at most."""
        scored = sum(min(SCORED, batches.get(split, 0)) for split in ("train", "val"))
        steps = self.steps * self.runs
        fresh = min(SCORED, batches.get("val", 0))
        return Cost(steps + scored * (self.runs + 1) + fresh, steps)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches that are scored and, of training, those that the runs go on with."""
        val = min(SCORED, batches.get("val", 0))
        return {"train": SCORED + self.steps * self.runs, "val": val}


def gains(found: Continued, way: Way, notable: float) -> bool:
    """Tell whether copies certainly gain more than `notable` on both splits, and lose nothing.

    What is gained on training data alone may be learnt by heart; a gain in the loss that costs
    right answers is none.
    """
    for progress in (found.train, found.val):
        gain, right = progress.gain(way), progress.right_change(way)
        if gain is None or gain[1] <= notable or (right is not None and right[1] < 0):
            return False
    return True
