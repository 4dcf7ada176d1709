"""Whether training that begins with one seed comes out the same twice."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number
from auditor.observations.culprit import Culprit

RUNS = 4
"""Runs of the same steps: two, and two more side by side where those differ."""


@dataclass(frozen=True)
class FreshTwice:
    """Two models that the factory built from one seed.

    `differing` names parameters, buffers, tensors and random generators that are not the same bit
    for bit, the furthest apart first, cut; `count` counts them, of `compared`. `apart` is the
    largest difference as a share of the largest value, infinite between generators.
    """

    compared: int
    count: int
    differing: tuple[str, ...]
    apart: Number
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadTwice:
    """The first batches of two passes over training that start alike.

    `first` is the first batch that differs, -1 where none does. `verdict` is `alike`, `differs`, or
    `unknown` where all hangs on the seed of a generator that does not tell it. `anew` tells whether
    the loader was built again for it. `generators` are those of the loader's own that it draws
    from, `unseeded` those of them that nobody seeded. `missing` says why nothing was compared.
    """

    verdict: Literal["alike", "differs", "unknown"]
    batches: int = 0
    first: int = -1
    anew: bool = False
    generators: tuple[str, ...] = ()
    unseeded: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Parted:
    """Where two equal models part in one step of training on one batch with one seed.

    `stage`: in the forward pass, in the loss though the outputs are the same, in the gradients
    though the loss is, or in the step of the optimizer though the gradients are. `apart` is how
    far, as a share of the largest value; up to `tolerance` it is rounding. `parameter` is the one
    whose gradient or value differs most. `outside` names what is kept outside of the model and
    changed in the step.
    """

    stage: Literal["forward", "loss", "gradient", "step"]
    step: int
    apart: Number
    tolerance: Number
    culprit: Culprit | None = None
    parameter: str = ""
    outside: tuple[str, ...] = ()

    @property
    def rounding(self) -> bool:
        """Tell whether the difference is as small as rounding is."""
        return self.apart <= self.tolerance


@dataclass(frozen=True)
class TrainedTwice:
    """Two short runs of training from one seed, on the same batches, and what they start from.

    `losses` are [2, steps], the loss before each step; `weights` is the largest difference of the
    trained weights as a share of the largest weight. `parted` tells where they first part, None
    where they do not, or where it could not be seen with two models side by side. `missing` says
    why nothing was trained.
    """

    factory: FreshTwice
    loader: ReadTwice
    losses: Array
    weights: Number
    optimizer: str
    instead: str
    device: str
    tolerance: Number
    parted: Parted | None = None
    missing: str = ""
    note: str = ""


@dataclass(frozen=True)
class TrainedTwiceOver(Request[TrainedTwice]):
    """Asks for two short runs of training with one seed."""

    steps: int = 8

    answer: ClassVar = TrainedTwice
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "train", "loss", "factory"})
    scaled: ClassVar[tuple[str, ...]] = ("steps",)
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of both runs, and of the two that explain a difference."""
        return Cost(RUNS * self.steps, RUNS * self.steps)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches of one run."""
        return {"train": self.steps}
