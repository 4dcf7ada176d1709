"""Which units of the rectifying layers ever fire."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.core.request import Depth, Riding
from auditor.core.values import Array


@dataclass(frozen=True)
class LayerActivity:
    """One rectifier: `fired` is a bool per unit (channel of a convolution), True where it ever
    gave anything but zero, at any position of any example.
    """

    layer: str
    kind: str
    fired: Array

    @property
    def dead(self) -> int:
        """Return the number of units that never fired."""
        return int(self.fired.size - np.count_nonzero(self.fired))


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
            ours = merged.setdefault((theirs.layer, theirs.fired.size), theirs)
            merged[theirs.layer, theirs.fired.size] = LayerActivity(
                ours.layer, ours.kind, ours.fired | theirs.fired
            )
        return UnitActivity(tuple(merged.values()), self.examples + other.examples, self.split)


@dataclass(frozen=True)
class UnitActivityOver(Riding[UnitActivity]):
    """Asks which units fire, with the model in evaluation mode."""

    answer: ClassVar = UnitActivity
    depth: ClassVar = Depth.FORWARD
