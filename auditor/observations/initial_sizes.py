"""How large the weights of fresh models are, beside PyTorch's own, and what these would gain."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Number
from auditor.observations.mended_copies import NOTHING, SCORED, MendedCopies, cost_of

APART = 5.0
"""Times larger or smaller than PyTorch's own from which on a tensor is in doubt. He's and Glorot's
initialisations and orthogonal matrices are within three times of it."""


@dataclass(frozen=True)
class InitialSize:
    """A matrix or filter of a fresh model: its root mean square, its deviation, and the usual one.

    `usual` is the deviation with which the module's own `reset_parameters` draws it. Tensors whose
    values are all equal deviate by 0.
    """

    name: str
    size: Number
    deviation: Number
    usual: Number

    @property
    def times(self) -> float:
        """Return how many times the usual deviation it has."""
        return float(self.deviation) / float(self.usual)

    @property
    def odd(self) -> bool:
        """Tell whether it is far from the usual."""
        return not 1 / APART <= self.times <= APART


@dataclass(frozen=True)
class InitialSizes:
    """The matrices and filters of a fresh model, in its order, and what mending gains.

    Copies are trained only where some tensor is odd; mended ones start as PyTorch's layers do.
    """

    tensors: tuple[InitialSize, ...]
    copies: MendedCopies = NOTHING


@dataclass(frozen=True)
class InitialSizesOver(Request[InitialSizes]):
    """Asks how large weights start; where that is odd, copies are trained for `steps`.

    They are trained as declared, and no longer than the model was.
    """

    steps: int = 200
    seeds: int = 3

    answer: ClassVar = InitialSizes
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes at most."""
        return cost_of(self.steps, self.seeds, batches)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches of a run, and those that copies are scored on."""
        return {"train": self.steps, "val": min(SCORED, batches.get("val", 0))}
