"""Which units of the rectifying layers ever fire, and what keeps the others at rest."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from auditor.core.request import Depth, Riding
from auditor.core.values import Array, Number


def _nothing() -> Array:
    return np.zeros(0)


@dataclass(frozen=True)
class LayerActivity:
    """One rectifier: `fired` is a bool per unit (channel of a convolution), True where it ever
    gave anything but zero, at any position of any example.

    `smooth` is True of a function that never gives exactly zero (GELU, SiLU, ELU ...): there a
    unit fired where its input ever rose above `level`, where the slope is a hundredth; of a
    rectifier `level` is the input from which on it gives anything but zero.

    Of units that never fired, `peak` is the largest input that the rectifier was given, and
    `lowest` the smallest, NaN for the others; empty where none was seen or no unit is dead.
    `producer` is the layer that made
    this input, "" where something else stands between, and `bias` what that layer adds to each
    unit; empty where it has none. `normed` tells that it takes away a running mean.
    """

    layer: str
    kind: str
    fired: Array
    smooth: bool = False
    level: Number = 0.0
    peak: Array = field(default_factory=_nothing)
    lowest: Array = field(default_factory=_nothing)
    producer: str = ""
    bias: Array = field(default_factory=_nothing)
    normed: bool = False

    @property
    def dead(self) -> int:
        """Return the number of units that never fired."""
        return int(self.fired.size - np.count_nonzero(self.fired))

    @property
    def lifts(self) -> Array:
        """Return the most that a dead unit's weights ever added to its bias; empty if unknown."""
        return self._added(self.peak)

    @property
    def drops(self) -> Array:
        """Return the least that a dead unit's weights ever added to its bias; empty if unknown."""
        return self._added(self.lowest)

    def _added(self, given: Array) -> Array:
        if not self.bias.size or given.size != self.bias.size:
            return _nothing()
        added: Array = np.asarray(given - self.bias)[~np.asarray(self.fired, bool)]
        return added

    def merge(self, other: "LayerActivity") -> "LayerActivity":
        """Return the activity over the examples of both."""
        fired = np.asarray(self.fired | other.fired, bool)
        dead = not fired.all()
        seen = dead and self.peak.size == other.peak.size == fired.size
        same = dead and self.producer == other.producer
        return LayerActivity(
            self.layer,
            self.kind,
            fired,
            self.smooth,
            self.level,
            np.where(fired, np.nan, np.maximum(self.peak, other.peak)) if seen else _nothing(),
            np.where(fired, np.nan, np.minimum(self.lowest, other.lowest)) if seen else _nothing(),
            self.producer if same else "",
            self.bias if same else _nothing(),
            self.normed and same,
        )


@dataclass(frozen=True)
class UnitActivity:
    """Activity of every rectifier, in the order of execution, over `examples` examples.

    A rectifier that was met with several numbers of units stands here once for each.
    """

    layers: tuple[LayerActivity, ...]
    examples: int
    split: str

    def merge(self, other: "UnitActivity") -> "UnitActivity":
        """Return the activity over the examples of both."""
        merged = {(layer.layer, layer.fired.size): layer for layer in self.layers}
        for theirs in other.layers:
            place = theirs.layer, theirs.fired.size
            merged[place] = merged[place].merge(theirs) if place in merged else theirs
        return UnitActivity(tuple(merged.values()), self.examples + other.examples, self.split)


@dataclass(frozen=True)
class UnitActivityOver(Riding[UnitActivity]):
    """Asks which units fire, with the model in evaluation mode."""

    answer: ClassVar = UnitActivity
    depth: ClassVar = Depth.FORWARD
