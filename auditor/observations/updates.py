"""How far the declared optimizer moves each parameter in a step."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number


@dataclass(frozen=True)
class UpdateRatios:
    """|Δw| / |w| by 2-norms, [steps, parameters], of the trainable parameters in `parameters`.

    `dimensions` is each tensor's number of dimensions. `restored` tells whether the optimizer
    went on from the state in the checkpoint. `note` says what had to be done differently. `tables`
    tells of each parameter whether it is a table of embeddings; it is empty where not known, as is
    `waits`: whether it got no gradient at the first step but did later, as behind a zero that has
    yet to move. `gradient_norms` [steps] is the 2-norm of the whole gradient before clipping, empty
    where it is not known.
    """

    parameters: tuple[str, ...]
    dimensions: tuple[int, ...]
    ratios: Array
    losses: Array
    optimizer: str
    learning_rate: Number
    start: Literal["fresh", "checkpoint"]
    restored: bool
    note: str = ""
    tables: tuple[bool, ...] = ()
    waits: tuple[bool, ...] = ()
    gradient_norms: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class UpdateRatiosFrom(Request[UpdateRatios]):
    """Asks for the update ratios over some steps of training on a copy.

    From fresh weights where the start is `fresh`, else from those of the checkpoint.
    """

    start: Literal["fresh", "checkpoint"] = "fresh"
    steps: int = 24

    answer: ClassVar = UpdateRatios
    depth: ClassVar = Depth.BACKWARD
    scaled: ClassVar = ("steps",)

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have; a factory only where the start is fresh."""
        always: frozenset[Capability] = frozenset({"model", "loss", "optimizer", "train"})
        return always | {"factory"} if self.start == "fresh" else always

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return one forward and one backward pass a step."""
        return Cost(self.steps, self.steps) if batches.get("train") else Cost()

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches of the run."""
        return {"train": self.steps if batches.get("train") else 0}
