"""What training one layer anew, all others as they are, makes of the checkpoint."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array

MOST = 24
"""Layers that are trained anew at most."""

BAD = 0.5
"""Share of the best constant's loss from which on the checkpoint is so bad that layers are tried.

Below it the model does its work, and none of its layers can be badly damaged.
"""


@dataclass(frozen=True)
class LayerRepairs:
    """The checkpoint's losses, and those of copies of which one layer was trained anew.

    All are in evaluation mode over the same examples of `split`, that no copy was trained on:
    cross-entropies in nats, or errors where the task is a regression. `before` [examples] are those
    of the checkpoint, `after` [layers, examples] those of copies in which one of `layers` was
    initialised anew and trained for `steps`, and `fresh` [examples] those of a new model that was
    trained as long as a whole. `renewed` [examples] are those of a copy whose running statistics
    were computed anew, empty where it keeps none. `constant` is the mean loss of the best constant.
    Where `before` is well below that, nothing was tried and `layers` is empty. `left_out` counts
    layers beyond `MOST`.
    """

    metric: Literal["accuracy", "squared error", "absolute error"]
    layers: tuple[str, ...]
    before: Array
    after: Array
    fresh: Array
    renewed: Array
    constant: float
    steps: int
    split: str
    left_out: int = 0


@dataclass(frozen=True)
class LayerRepairsOver(Request[LayerRepairs]):
    """Asks what training each layer anew, alone, makes of a checkpoint that does badly."""

    steps: int = 60
    batches: int = 16
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = LayerRepairs
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss", "val", "factory"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of a copy for each layer and a fresh model, and of scoring them."""
        runs = MOST + 1
        most = max(batches.values(), default=0)
        return Cost(
            forwards=runs * (self.steps + min(self.batches, most)), backwards=runs * self.steps
        )
