"""Where values stop being finite."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.core.request import Capability, Depth, Request, Riding
from auditor.core.values import Array

NAN, POSITIVE, NEGATIVE = 1, 2, 4
"""Bits of a flag: NaN, +infinity and -infinity were seen; NaN hides the other two."""


@dataclass(frozen=True)
class NonFinite:
    """Flags of what was not finite.

    `flags` is [batches, layers] of the bits NAN, POSITIVE and NEGATIVE in each layer's output,
    layers in the order of execution; `input_flags` the same per batch for the model's inputs.
    `losses` is [batches], empty without a loss. `examples` are the indices, within the split as
    it was read, of examples whose own output held NaN or +infinity; none are told where the
    outputs have no row for each example.
    """

    layers: tuple[str, ...]
    flags: Array
    input_flags: Array
    losses: Array
    examples: tuple[int, ...]
    seen: int
    split: str

    def merge(self, other: "NonFinite") -> "NonFinite":
        """Return the flags over the batches of both, `other` following `self`."""
        layers = tuple(dict.fromkeys((*self.layers, *other.layers)))
        return NonFinite(
            layers,
            np.concatenate([_spread(self, layers), _spread(other, layers)]),
            np.concatenate([self.input_flags, other.input_flags]),
            np.concatenate([self.losses, other.losses]),
            self.examples + tuple(self.seen + index for index in other.examples),
            self.seen + other.seen,
            self.split,
        )


def _spread(seen: NonFinite, layers: tuple[str, ...]) -> Array:
    column = {layer: place for place, layer in enumerate(layers)}
    spread = np.zeros((len(seen.input_flags), len(layers)), np.uint8)
    spread[:, [column[layer] for layer in seen.layers]] = seen.flags
    return spread


@dataclass(frozen=True)
class NonFiniteOver(Riding[NonFinite]):
    """Asks where values stop being finite, with the model in evaluation mode."""

    answer: ClassVar = NonFinite
    depth: ClassVar = Depth.FORWARD


@dataclass(frozen=True)
class WeightFlags:
    """Parameters and buffers by name, with the number of values in each that are not finite."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    nan: tuple[int, ...]
    infinite: tuple[int, ...]


@dataclass(frozen=True)
class WeightFlagsOf(Request[WeightFlags]):
    """Asks which weights are not finite."""

    answer: ClassVar = WeightFlags
    requires: ClassVar[frozenset[Capability]] = frozenset({"weights"})
