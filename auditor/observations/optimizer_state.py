"""What an optimizer, saved in the checkpoint or handed in, holds of the model's parameters."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Request
from auditor.core.values import Number


@dataclass(frozen=True)
class HeldParameter:
    """A parameter that an optimizer holds; `name` is empty where it can't be told which it is.

    `step` counts the updates made, NaN where no count is kept. `moments` names what is kept of past
    gradients, `zero` those of them that are all zero, `spoilt` what no step can go on from: values
    that are not finite, squares and counts below zero. `kept` tells whether anything is kept of it,
    which begins with the first gradient that it gets.
    """

    name: str
    group: int
    rate: Number
    kept: bool
    step: Number
    moments: tuple[str, ...]
    zero: tuple[str, ...]
    spoilt: tuple[str, ...] = ()


@dataclass(frozen=True)
class OptimizerHeld:
    """One optimizer. `where` is its key in the checkpoint, empty for one handed in as itself.

    `how` says by what parameters were told apart: name, order, count, shape, or subset, where those
    that it holds are some of the model's in their order; empty where they could not be.
    `remembers` tells whether its settings make it keep something of past gradients.
    `missing`, `unsure` and `strangers`: trainable parameters that it does not hold; so many among
    those named that it does not hold; and what it holds that is no parameter of the model.
    """

    where: str
    how: Literal["name", "order", "count", "shape", "subset", ""]
    held: tuple[HeldParameter, ...]
    missing: tuple[str, ...]
    unsure: tuple[tuple[int, tuple[str, ...]], ...]
    strangers: int
    remembers: bool = False


@dataclass(frozen=True)
class OptimizersHeld:
    """All optimizers that are known. `epochs` and `batches` of training are what is declared."""

    optimizers: tuple[OptimizerHeld, ...]
    trainable: tuple[str, ...]
    frozen: tuple[str, ...]
    epochs: Number | None = None
    batches: int = 0

    @property
    def counted(self) -> dict[str, int]:
        """Return how many steps were made of each parameter of which a count is kept."""
        held = (one for optimizer in self.optimizers for one in optimizer.held)
        return {one.name: int(one.step) for one in held if math.isfinite(one.step) and one.step > 0}


@dataclass(frozen=True)
class OptimizersHeldIn(Request[OptimizersHeld]):
    """Asks what optimizers hold of the model."""

    answer: ClassVar = OptimizersHeld
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
