"""The loss of whole batches, as the subject defines it, for tasks without a standard metric."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.core.request import Capability, Depth, Riding
from auditor.core.values import Array


@dataclass(frozen=True)
class Losses:
    """The loss of each batch in evaluation mode, and how many examples it holds, [batches]."""

    values: Array
    sizes: Array
    split: str

    def merge(self, other: "Losses") -> "Losses":
        """Return the losses of the batches of both, `other` following `self`."""
        return Losses(
            np.concatenate([self.values, other.values]),
            np.concatenate([self.sizes, other.sizes]),
            self.split,
        )


@dataclass(frozen=True)
class LossesOver(Riding[Losses]):
    """Asks for the loss of each batch."""

    batches: int = 64

    answer: ClassVar = Losses
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"loss"})
