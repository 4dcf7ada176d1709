"""What stands between layers that follow one another, and whether copies do better mended."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.observations.mended_copies import NOTHING, SCORED, MendedCopies, cost_of


@dataclass(frozen=True)
class Doubt:
    """Two layers with weights that follow one another, and what is odd between them.

    Either no activation stands there (`missing`), several do, one on top of the other (`stacked`),
    or a `softmax` does. `between` are the activations in the order in which they run: names of
    modules, or of functions in brackets.
    """

    kind: Literal["missing", "stacked", "softmax"]
    before: str
    layer: str
    between: tuple[str, ...] = ()


@dataclass(frozen=True)
class ActivationTrial:
    """What stands between layers, and how fresh copies score as they are and mended.

    `pairs` counts the layers with weights of which it is known which one comes straight before.
    `linear` tells that the whole model is a linear function of its inputs, plus a constant. Mended
    copies have one ReLU at each of the `doubts`.
    """

    pairs: int
    doubts: tuple[Doubt, ...]
    linear: bool
    copies: MendedCopies = NOTHING


@dataclass(frozen=True)
class ActivationTrialOver(Request[ActivationTrial]):
    """Asks what stands between layers; where that is odd, copies are trained for `steps`."""

    steps: int = 200
    seeds: int = 2

    answer: ClassVar = ActivationTrial
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "val"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes at most."""
        return Cost(4) + cost_of(self.steps, self.seeds, batches)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches of a run, and those that copies are scored on."""
        return {"train": self.steps, "val": min(SCORED, batches.get("val", 0))}
