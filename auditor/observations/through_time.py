"""How far back in time the gradient reaches through a recurrent layer."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import geometric_interval
from auditor.core.values import Array, Number


@dataclass(frozen=True)
class Reach:
    """The gradient of the loss by what a recurrent layer takes in (or its state), step by step.

    `profile` is [batches, bins], log10 of the norm at each of the bins that the sequence is cut
    into, relative to the largest bin; a gradient of exactly zero counts as 1e-45, the smallest
    number of float32. Padding at either end, where the inputs stay the same, is left out. `early`
    and `late` are [batches], log10 of the norm over the first and the last quarter of the steps,
    `least` that over the quarter where it is smallest, all relative to the largest quarter, and
    `apart` the steps between the middles of the smallest and the largest quarter; medians over
    examples. `steps` is the median length. `both_ways` is True of a bidirectional layer, whose two
    directions can't be told apart here. Steps after the last that the loss reads are left out.
    """

    layer: str
    kind: str
    steps: int
    profile: Array
    early: Array
    late: Array
    least: Array
    apart: Array
    both_ways: bool = False


@dataclass(frozen=True)
class ThroughTime:
    """The reach of every recurrent layer, over as many batches as the budget allowed."""

    reaches: tuple[Reach, ...]
    batches: int
    examples: int
    loss: Number


@dataclass(frozen=True)
class ThroughTimeOver(Request[ThroughTime]):
    """Asks how the gradient fares through time, with the checkpoint's weights or fresh ones."""

    start: Literal["checkpoint", "fresh"] = "checkpoint"
    batches: int = 4
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = ThroughTime
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    scaled: ClassVar = ("batches",)
    at_most: ClassVar = True

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have; a factory only where the start is fresh."""
        return super().needed() | ({"factory"} if self.start == "fresh" else set())

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return one forward and one backward pass a batch, after one that looks for layers."""
        split: Split = "train" if self.split == "train" else "val"
        count = min(self.batches, batches.get(split, 0))
        return Cost(count + 1, count)


@dataclass(frozen=True)
class Pace:
    """How a layer's gradient changes over time: `fade` is the largest over the smallest quarter of
    the steps, `growth` the first over the last; `rate` is the change per step from the largest to
    the smallest. Each is (value, low, high), geometric means over batches and 95 % intervals.
    """

    fade: tuple[float, float, float]
    growth: tuple[float, float, float]
    rate: tuple[float, float, float]


def pace_of(reach: Reach) -> Pace:
    """Return the factors by which the gradient changes over a sequence, and per step."""
    least, early, late = (np.asarray(v, float) for v in (reach.least, reach.early, reach.late))
    per_step = least / np.maximum(np.asarray(reach.apart, float), 1)
    return Pace(
        geometric_interval(10.0**-least),
        geometric_interval(10.0 ** (early - late)),
        geometric_interval(10.0**per_step),
    )
