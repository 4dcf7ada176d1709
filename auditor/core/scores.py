"""How well a model does on each example, kept so that a later audit can be compared in pairs."""

from dataclasses import dataclass, field

import numpy as np

from auditor.core.values import Array, same


def _none() -> Array:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class ExampleScores:
    """The score of each example of validation data that was read, of many the first ones.

    `examples` [n] is a hash of each example (uint64), by which two audits find those that both
    have seen; `scores` [n] (float32) is what `metric` names, and `higher_is_better` tells which
    way is good. `losses` [n] (float32) is the cross-entropy in nats where the score is an accuracy,
    and `classes` [n] (int32) the class of each example; they are empty where there is no such
    thing.
    """

    metric: str
    higher_is_better: bool
    examples: Array
    scores: Array
    losses: Array = field(default_factory=_none)
    classes: Array = field(default_factory=_none)

    def __eq__(self, other: object) -> bool:
        return same(self, other)

    __hash__ = None  # type: ignore[assignment]
