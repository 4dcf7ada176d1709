"""What the model puts out beside what it should have put out, target by target."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Depth, Riding
from auditor.core.values import Array, Number

MOST = 4_000_000
"""Values of raw output kept in all: 16 MB. Where there are more, rows are taken evenly."""


@dataclass(frozen=True)
class Predictions:
    """Raw outputs, as the model gives them to the loss, and their targets, row by row.

    A row is one target: an example, or one position of it (a pixel, a token). Targets that the
    loss leaves out have no row; `ignored` counts them. Of `rows_seen` rows those kept are spread
    evenly over each batch.

    `kind` says how to read them: of "classes", `outputs` is [rows, classes] and `targets` [rows]
    the index of the right class; of "labels" and "numbers", both are [rows, width]. `example`
    [rows] is the number of the example in its split, as the loader yields it. `losses` [batches]
    is the loss as the subject defines it, over batches of `batch_examples` examples.

    `loss` is the name of a loss that `torch.nn.functional` knows, else empty; `plain` tells
    whether it is computed without class weights and smoothing. `weights` is how much each class
    counts in it, or a one of each label against a zero; (1,) where all count alike, empty where
    that is not known. `smoothing` is the share of a label that the loss, or the targets, give to
    the other classes. `task` is what the subject's is.
    """

    kind: Literal["classes", "labels", "numbers"]
    outputs: Array
    targets: Array
    example: Array
    losses: Array
    batch_examples: Array
    rows_seen: int
    ignored: int
    loss: str
    plain: bool
    split: str
    task: str = ""
    weights: tuple[Number, ...] = ()
    smoothing: Number = 0.0

    @property
    def rows(self) -> int:
        """Return the number of rows kept."""
        return len(self.outputs)

    @property
    def examples(self) -> int:
        """Return the number of examples read."""
        return int(np.sum(self.batch_examples))

    def merge(self, other: "Predictions") -> "Predictions":
        """Return the rows of both, `other` following `self`."""
        return replace(
            self,
            outputs=np.concatenate([self.outputs, other.outputs]),
            targets=np.concatenate([self.targets, other.targets]),
            example=np.concatenate([self.example, other.example + self.examples]),
            losses=np.concatenate([self.losses, other.losses]),
            batch_examples=np.concatenate([self.batch_examples, other.batch_examples]),
            rows_seen=self.rows_seen + other.rows_seen,
            ignored=self.ignored + other.ignored,
            smoothing=max(self.smoothing, other.smoothing),
        )


@dataclass(frozen=True)
class PredictionsOver(Riding[Predictions]):
    """Asks for the raw outputs and targets of a split, the model in evaluation mode."""

    batches: int = 64

    answer: ClassVar = Predictions
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"loss"})
