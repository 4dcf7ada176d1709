"""How well the model does, example by example."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Depth, Riding
from auditor.core.values import Array, Number


@dataclass(frozen=True)
class Performance:
    """Per-example results of the model in evaluation mode.

    Examples whose targets are all left out are not among them.

    `metric` names `scores` [examples]: "accuracy" (the share of an example's targets that are
    predicted right) or "squared error" and "absolute error" (the mean over an example's
    targets). `losses` is [batches], the loss as the subject defines it, over batches of
    `batch_examples` examples.

    Targets are kept so that other predictors can be scored on the same examples. Of classes:
    `target_example`, `target_class` and `target_count` say how often each class stands among
    the targets of each example; of several labels, the class index is `2 * label + value`.
    Of numbers: `target_values` [examples, outputs], or no columns where there are too many.
    `entropies` [examples], where the outputs are class scores, is the mean cross-entropy in
    nats of an example's own targets under the softmax (or sigmoid) of the outputs.

    `hashes` (uint64) is what the first examples are known by, input and target; empty where that
    is not known.
    """

    metric: Literal["accuracy", "squared error", "absolute error"]
    scores: Array
    entropies: Array
    losses: Array
    batch_examples: Array
    target_example: Array
    target_class: Array
    target_count: Array
    target_values: Array
    split: str
    hashes: Array = field(default_factory=lambda: np.zeros(0, np.uint64))

    @property
    def examples(self) -> int:
        """Return the number of examples scored."""
        return len(self.scores)

    @property
    def score(self) -> Number:
        """Return the mean of the metric over the examples."""
        return float(np.mean(self.scores)) if len(self.scores) else float("nan")

    def merge(self, other: "Performance") -> "Performance":
        """Return the results over the examples of both, `other` following `self`."""
        return Performance(
            self.metric,
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.entropies, other.entropies]),
            np.concatenate([self.losses, other.losses]),
            np.concatenate([self.batch_examples, other.batch_examples]),
            np.concatenate([self.target_example, other.target_example + self.examples]),
            np.concatenate([self.target_class, other.target_class]),
            np.concatenate([self.target_count, other.target_count]),
            np.concatenate([self.target_values, other.target_values]),
            self.split,
            np.concatenate([self.hashes, other.hashes])
            if len(self.hashes) == self.examples
            else self.hashes,
        )


@dataclass(frozen=True)
class PerformanceOver(Riding[Performance]):
    """Asks how well the model does on validation data."""

    batches: int = 64

    answer: ClassVar = Performance
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"loss"})
