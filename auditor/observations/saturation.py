"""Which squashing units, gates and attention heads are at the end of their range."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from auditor.core.request import Depth, Riding
from auditor.core.values import Array, Number


@dataclass(frozen=True)
class Feeder:
    """The layer that makes what is squashed. Empty and zero where not known.

    `given` is what it is given: the sum over batches of the mean square, and the number of batches.
    `strength` is what its weights turn an input of 1 into (their rms times √fan-in), `spectral`
    their largest singular value, `bias` what it adds to each unit, by the name of `bias_name`.
    """

    layer: str
    given: Array
    strength: Number
    spectral: Number
    bias: Array
    bias_name: str = ""

    @property
    def size(self) -> float:
        """Return the root mean square of what is given, 0 where it is not known."""
        return float(np.sqrt(self.given[0] / max(self.given[1], 1)))

    def merge(self, other: "Feeder") -> "Feeder":
        """Return the layer with what both saw it given; one that is not the same is not known."""
        if self.layer != other.layer:
            return no_feeder()
        return replace(self, given=self.given + other.given)


@dataclass(frozen=True)
class SquashedLayer:
    """One sigmoid, tanh or the like, or one gate of a recurrent layer, by unit.

    `low` and `high` count the values within 1 % of the range from its lower and upper end, out of
    `count` values a unit; `slope` adds up the derivative relative to its largest, `total` and
    `squares` the inputs and their squares. `gate` names a gate, `cell` the recurrent layer it
    belongs to. `output` is True where the values are what the model puts out.
    """

    layer: str
    kind: str
    count: int
    low: Array
    high: Array
    slope: Array
    total: Array
    squares: Array
    feeder: Feeder
    gate: str = ""
    cell: str = ""
    output: bool = False

    @property
    def units(self) -> int:
        """Return the number of units."""
        return int(self.low.size)

    def merge(self, other: "SquashedLayer") -> "SquashedLayer":
        """Return the counts over the examples of both."""
        return SquashedLayer(
            self.layer,
            self.kind,
            self.count + other.count,
            self.low + other.low,
            self.high + other.high,
            self.slope + other.slope,
            self.total + other.total,
            self.squares + other.squares,
            self.feeder.merge(other.feeder),
            self.gate,
            self.cell,
            self.output or other.output,
        )


@dataclass(frozen=True)
class AttentionLayer:
    """One attention, by head, over `queries` queries that could choose among two keys or more.

    `entropy` adds up the entropy of the attention over the logarithm of the number of visible keys,
    so that 0 is one key and 1 is all alike; `collapsed` counts the queries below 0.01, `uniform`
    those above 0.9999. `scores` adds up the deviation of the scores that go into the softmax.
    """

    layer: str
    queries: int
    entropy: Array
    collapsed: Array
    uniform: Array
    scores: Array
    output: bool = False

    @property
    def heads(self) -> int:
        """Return the number of heads."""
        return int(self.entropy.size)

    def merge(self, other: "AttentionLayer") -> "AttentionLayer":
        """Return the sums over the queries of both."""
        return AttentionLayer(
            self.layer,
            self.queries + other.queries,
            self.entropy + other.entropy,
            self.collapsed + other.collapsed,
            self.uniform + other.uniform,
            self.scores + other.scores,
            self.output or other.output,
        )


@dataclass(frozen=True)
class Saturation:
    """Every squashing layer, gate and attention met, in the order of execution.

    A layer met with several numbers of units, or heads, stands here once for each.
    """

    squashed: tuple[SquashedLayer, ...]
    attention: tuple[AttentionLayer, ...]
    examples: int
    split: str

    def merge(self, other: "Saturation") -> "Saturation":
        """Return the counts over the examples of both."""
        squashed = {(s.layer, s.gate, s.units): s for s in self.squashed}
        for layer in other.squashed:
            key = layer.layer, layer.gate, layer.units
            squashed[key] = squashed[key].merge(layer) if key in squashed else layer
        attention = {(a.layer, a.heads): a for a in self.attention}
        for head in other.attention:
            place = head.layer, head.heads
            attention[place] = attention[place].merge(head) if place in attention else head
        return Saturation(
            tuple(squashed.values()),
            tuple(attention.values()),
            self.examples + other.examples,
            self.split,
        )


def no_feeder() -> Feeder:
    """Return the feeder of what comes from nowhere known."""
    return Feeder("", np.zeros(2), 0.0, 0.0, np.zeros(0))


@dataclass(frozen=True)
class SaturationOver(Riding[Saturation]):
    """Asks what is at the end of its range, with the model in evaluation mode.

    Gates and attention are computed anew, for some examples of each of the first `LOOKED_AT`
    batches.
    """

    answer: ClassVar = Saturation
    depth: ClassVar = Depth.FORWARD
