"""Whether a model answers one question twice alike."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Number
from auditor.observations.culprit import Culprit, Difference

Cause = Literal["", "dropout", "random", "state", "kernel"]
"""Why the same batch gets another answer: dropout, other random numbers, what the model keeps from
call to call, or none of these, so that it is the order in which sums are taken."""

Explained = Literal["", "noise", "statistics", "activation"]
"""Why training mode answers otherwise: random numbers, statistics of the batch that are being
kept, or a last activation that only one of the modes has."""


@dataclass(frozen=True)
class Unsettled:
    """A weight that a layer computes: its size in evaluation mode, over that after training mode.

    1 where a few passes in training mode, without a step, leave it as it is.
    """

    layer: str
    weight: str
    times: Number


@dataclass(frozen=True)
class Reproducibility:
    """Answers to the same examples, evaluation mode unless it says otherwise.

    `repeated`: the same batch again, in the model's own precision; `identical` tells whether bit
    for bit. `cause` says why not, `drawing` names what draws random numbers, `kept` the buffers
    and attributes that a pass changes. `alone`: a batch of one against a batch of many;
    `reordered`: another order of the batch; `padded`: less padding, `widths` counting the different
    lengths to which batches of the loader are padded; `training`: training mode with dropout off
    and batch norm on its running statistics, `Difference.kind` one of `Explained`.
    `unsettled` are the weights that layers compute, as spectral norms do.
    `shape` says what is lost of the output's shape in a batch of one.
    """

    examples: int
    repeated: Difference
    identical: bool
    cause: Cause
    drawing: tuple[Culprit, ...]
    kept: tuple[str, ...]
    alone: Difference
    reordered: Difference
    padded: Difference
    training: Difference
    widths: int
    shape: str
    dropouts: int
    norms: int
    precision: str
    unsettled: tuple[Unsettled, ...] = ()


@dataclass(frozen=True)
class ReproducibilityOver(Request[Reproducibility]):
    """Asks for the answers to the same examples, twice and in other company."""

    examples: int = 7
    split: Split = "val"

    answer: ClassVar = Reproducibility
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of all comparisons, and of those that explain a difference."""
        return Cost(50) if batches.get(self.split) else Cost()
