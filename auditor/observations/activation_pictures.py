"""What a model's layers put out for a few examples, and which examples excite a unit most."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

READ = 128
"""Examples that are looked at."""
PICTURED = 3
LAYERS = 3
"""Layers of which single channels or units are shown: the first, the middle and the last."""
CHANNELS = 3
"""Channels of each: the two most active, and the least."""
MOST_UNITS = 24
MOST_COLUMNS = 64
EXCITED = 4
"""Units, and examples of each, that are shown as exciting it most."""
LEVELS = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
"""Quantiles of what a layer puts out."""


@dataclass(frozen=True)
class ShownExample:
    """An example by its number in the loader, what the model answers, what is right, its input.

    `kind` tells what `shown` is: grey values or colours from 0 to 1, token ids, or features.
    """

    example: int
    answer: str
    truth: str
    kind: Literal["picture", "tokens", "features"]
    shown: Array


@dataclass(frozen=True)
class LayerMaps:
    """Channels of one layer for the pictured examples.

    `maps` [examples, channels, height, width] are relative to the largest magnitude among an
    example's; `channels` and `strengths` [examples, channels] are their numbers and mean
    magnitudes, of `of` channels, the last being the least active.
    """

    layer: str
    of: int
    channels: Array
    strengths: Array
    maps: Array


@dataclass(frozen=True)
class UnitMap:
    """Units [units] of a layer by position in one example, or by example: `values` [units, columns]

    The units that vary most are kept, of `of`; `columns` names the columns.
    """

    layer: str
    of: int
    across: Literal["position", "example"]
    units: Array
    values: Array
    columns: tuple[str, ...]
    example: int = -1


@dataclass(frozen=True)
class ExcitedUnit:
    """A unit with the examples that excite it most.

    `examples` are places in `ActivationPictures.examples`, `values` its activations, `positions`
    where in a sequence, -1 where it has none. `apart` is how many deviations of the unit lie
    between the class that it prefers and the rest, or between its largest value and its mean.
    """

    unit: int
    prefers: str
    apart: Number
    examples: tuple[int, ...]
    values: tuple[Number, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True)
class ActivationPictures:
    """Pictures of activations: channels, units, depth, and the most exciting examples.

    `quantiles` [layers, levels] are those of `LEVELS` of the values that each of `layers` puts
    out, in the order of execution, `zeros` [layers] the share that is exactly zero. `excited` are
    units of what goes into `head`, the last layer with weights.
    """

    pictured: tuple[ShownExample, ...]
    maps: tuple[LayerMaps, ...]
    units: tuple[UnitMap, ...]
    layers: tuple[str, ...]
    quantiles: Array
    zeros: Array
    head: str
    head_units: int
    excited: tuple[ExcitedUnit, ...]
    examples: tuple[ShownExample, ...]
    read: int
    split: str


@dataclass(frozen=True)
class ActivationPicturesOver(Request[ActivationPictures]):
    """Asks for pictures of activations, with the model in evaluation mode."""

    batches: int = 16
    split: Literal["train", "val"] = "val"

    answer: ClassVar = ActivationPictures
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return a bound on the passes, each of a few examples."""
        return Cost(READ + 2)
