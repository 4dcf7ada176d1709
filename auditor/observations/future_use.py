"""Whether what a sequence model puts out at a step depends on inputs after it."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number
from auditor.observations.culprit import Culprit, Precision

Relation = Literal["next", "inside", "none"]
"""How targets show that a model is causal: they are the inputs moved on, or the inputs themselves
where the model predicts the next one (the loss moves them); or they show nothing of the kind."""


@dataclass(frozen=True)
class FutureUse:
    """How far outputs move when later inputs are replaced, as shares of the largest output.

    `relation` and `shift`: the target at a step is the input so many steps later, for a share
    `matched` of positions. `places` [tested] are the steps after which all inputs were replaced,
    `ahead` [tested] the largest change of an output up to there, `touched` the share of those
    outputs that changed. `offsets` and `influence`: an input so many steps after an output's own
    (before it where negative) was replaced alone, and how far that output moved.
    """

    relation: Relation
    shift: int
    matched: Number
    steps: int
    examples: int
    places: tuple[int, ...]
    ahead: Array
    touched: Number
    offsets: tuple[int, ...]
    influence: Array
    culprit: Culprit | None
    tolerance: Number
    precision: Precision


@dataclass(frozen=True)
class FutureUseOver(Request[FutureUse]):
    """Asks how far outputs move when later inputs are replaced."""

    examples: int = 5
    split: Split = "val"

    answer: ClassVar = FutureUse
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes: those that get ready, one a replacement, those that explain."""
        return Cost(44) if batches.get(self.split) else Cost()
