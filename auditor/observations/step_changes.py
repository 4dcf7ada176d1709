"""What a few steps of the declared optimizer change, parameter by parameter."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

Gradient = Literal["none", "zero", "finite", "not finite"]


@dataclass(frozen=True)
class StepChange:
    """One trainable parameter of `size` values over all steps.

    `gradient` is the best that it got in any step. `changed` is the share of its values that any
    step changed; `lost` the share, among those that got a gradient, that none did, NaN where none
    got one or that is not known. `held` tells whether the optimizer has it, and `rate` its learning
    rate there. `length` is the root mean square of what a step adds to a value.
    """

    name: str
    size: int
    dimensions: int
    type: str
    gradient: Gradient
    changed: Number
    lost: Number
    held: bool
    rate: Number
    length: Number = math.nan


@dataclass(frozen=True)
class StepChanges:
    """`losses` is [steps]. `restored` tells whether the optimizer went on from kept moments."""

    parameters: tuple[StepChange, ...]
    losses: Array
    optimizer: str
    restored: bool
    note: str = ""


@dataclass(frozen=True)
class StepChangesOver(Request[StepChanges]):
    """Asks for what some steps from the checkpoint's weights change, on a copy."""

    steps: int = 3

    answer: ClassVar = StepChanges
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss", "train"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return one forward and one backward pass a step."""
        return Cost(self.steps, self.steps) if batches.get("train") else Cost()
