"""How the targets of training are dealt to its batches, in the order in which they come."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Request
from auditor.core.values import Array, Number

SURE = 0.99
"""Share of random orders that part the targets less than what counts as more than chance."""


@dataclass(frozen=True)
class BatchOrder:
    """How far the targets of one pass over training differ from batch to batch.

    Each example has a row of numbers: its class as one-hot columns, or its share of places of each
    class (classes beyond the columns are counted with others), its labels, or the ranks of its
    numbers. `between` is the share of their variance that lies between batches, without what
    chance puts there: ε² = 1 - (SSW / (N - B)) / (SST / (N - 1)) over N examples in B batches
    (Kelley 1935). It is 1 where each batch holds one target only, 0 on average where examples are
    dealt at random, and below 0 where batches are balanced. `chance` is what `SURE` of random
    orders of the same targets stay below.

    `means` [batches, columns] are the batches' means, `labels` [columns] which class, label or
    quantity each column is, -1 where a column stands for several. A "batch" is several of the
    loader's in a row where these are small. `per_batch` is the mean number of examples in one.

    `kind` is what the targets are. `whole` tells whether the pass was read to its end, `repeated`
    whether another pass gives the same targets in the same order, `in_order` whether the loader
    is one of torch that gives its data set from first to last. `alone` is the one class that all
    examples read have, -1 where they have several. Where nothing can be measured `reason` says why.
    """

    between: Number
    chance: Number
    means: Array
    labels: Array
    per_batch: Number
    examples: int
    kind: Literal["classes", "shares", "labels", "numbers"]
    whole: bool
    repeated: bool
    in_order: bool
    alone: int = -1
    reason: str = ""

    @property
    def counted(self) -> float:
        """Return as how many random examples a batch counts, by Kish's design effect.

        n / (1 + (n - 1) ρ), with `between` for ρ (Kish 1965, Survey Sampling, 5.4).
        """
        size, rho = float(self.per_batch), min(max(float(self.between), 0.0), 1.0)
        return size / (1 + (size - 1) * rho)


@dataclass(frozen=True)
class BatchOrderOver(Request[BatchOrder]):
    """Asks how targets are dealt to the batches of training; nothing runs through the model.

    At least so many `batches` are read, more where examples are small.
    """

    batches: int = 64

    answer: ClassVar = BatchOrder
    scaled: ClassVar = ("batches",)
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "train"})


def unordered(reason: str, examples: int = 0, alone: int = -1, whole: bool = False) -> BatchOrder:
    """Return the answer where nothing can be measured."""
    none = np.zeros((0, 0))
    return BatchOrder(
        0.0, 0.0, none, np.zeros(0), 0.0, examples, "classes", whole, False, False, alone, reason
    )
