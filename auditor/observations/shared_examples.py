"""Validation examples that stand in training, too."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Request
from auditor.core.statistics import Interval, welch_interval
from auditor.core.values import Array

SURE = 0.99
"""Confidence with which more is shared than repeats itself anyway."""


@dataclass(frozen=True)
class SharedExamples:
    """Which validation examples have input and target of a training one, as far as both were read.

    `shared` [validation examples] holds the place of such a training example, -1 where there is
    none; `repeated` [training examples] tells which have another training example that is the
    same. Both are empty where inputs have no row for each example. `val_sizes` [batches] counts
    the examples of the validation batches read. `whole` tells whether all of training was read.

    `same_loader` tells whether one loader gives both splits. Where both loaders draw from one
    dataset by known indices, `indices` is how many of the `of_indices` validation indices are
    training's, too; else -1. `varies` tells whether another pass over training gives other
    examples, as random augmentation does; empty where it can't be told.
    """

    shared: Array
    repeated: Array
    val_sizes: Array
    whole: bool
    same_loader: bool
    indices: int
    of_indices: int
    varies: Literal["yes", "no", ""]

    @property
    def share(self) -> float:
        """Return the share of validation examples that stand in training, beyond what is usual.

        As many as training examples that have a copy in training would be there in any case, were
        the data dealt to the splits at random.
        """
        if self.same_loader:
            return 1.0
        by_index = self.indices / self.of_indices if self.of_indices > 0 else 0.0
        shared, repeated = np.asarray(self.shared) >= 0, np.asarray(self.repeated, float)
        by_content = (
            float(shared.mean() - repeated.mean()) if len(shared) and len(repeated) else 0.0
        )
        return max(by_index, by_content, 0.0)

    def interval(self, confidence: float = SURE) -> Interval:
        """Return the interval of `share`; what indices tell is certain."""
        known = self.indices / self.of_indices if self.of_indices > 0 else 0.0
        if self.same_loader or known >= self.share > 0:
            return self.share, self.share
        shared, repeated = np.asarray(self.shared) >= 0, np.asarray(self.repeated, float)
        if min(len(shared), len(repeated)) < 2:
            return 0.0, 1.0
        low, high = welch_interval(shared.astype(float), repeated, confidence)
        return max(low, known, 0.0), min(max(high, 0.0), 1.0)


@dataclass(frozen=True)
class SharedExamplesOver(Request[SharedExamples]):
    """Asks which validation examples stand in training; nothing is run through the model.

    At least so many `batches` of each split are read, more where examples are small.
    """

    batches: int = 64

    answer: ClassVar = SharedExamples
    scaled: ClassVar = ("batches",)
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "train", "val"})
