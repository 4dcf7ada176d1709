"""How well a model does on each example, kept so that a later audit can be compared in pairs."""

from dataclasses import dataclass

from auditor.core.values import Array


@dataclass(frozen=True)
class ExampleScores:
    """The score of each example of validation data that was read.

    `examples` [n] is a hash of each example (uint64), by which two audits find those that both
    have seen; `scores` [n] (float32) is what `metric` names, and `higher_is_better` tells which
    way is good.
    """

    metric: str
    higher_is_better: bool
    examples: Array
    scores: Array
