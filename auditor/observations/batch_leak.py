"""What the other examples of a batch do to an example's output."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number
from auditor.observations.culprit import Culprit, Difference, Precision

MOST = 7
"""Examples that are run together at most."""


@dataclass(frozen=True)
class BatchLeak:
    """How far each example's output moves when the inputs of one example are replaced.

    `moved` [examples, examples]: row i, column j is the largest change of output i when example j
    gets the inputs of another, as a share of the largest output, in evaluation mode. Off the
    diagonal all is to be 0; up to `tolerance`, what rounding does at this `precision`, it is.
    `gradient` is the largest gradient of an output by the inputs of others, as a share of that by
    its own; NaN where there is none. `training` is the same movement in training mode, dropout off
    and batch norm on its running statistics. `norms` are the batch-norm layers, which in training
    mix the examples of a batch. `outputs` counts the tensors looked at; `unsettled` tells whether
    inputs and targets share two dimensions, of which nothing tells which one counts examples.
    """

    moved: Array
    tolerance: Number
    precision: Precision
    gradient: Number
    culprit: Culprit | None
    training: Difference
    norms: tuple[str, ...]
    outputs: int
    unsettled: bool = False

    @property
    def examples(self) -> int:
        """Return how many examples were run together."""
        return len(self.moved)


@dataclass(frozen=True)
class BatchLeakOver(Request[BatchLeak]):
    """Asks how far each example's output moves when another's inputs are replaced."""

    examples: int = MOST
    split: Split = "val"

    answer: ClassVar = BatchLeak
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes: those that get ready, one a replaced example, those that explain."""
        return Cost(4 * self.examples + 20, 1) if batches.get(self.split) else Cost()
