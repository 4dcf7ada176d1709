"""Where values stop being finite."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Depth, Mode, Request, Riding
from auditor.core.values import Array

NAN, POSITIVE, NEGATIVE = 1, 2, 4
"""Bits of a flag: NaN, +infinity and -infinity were seen; NaN hides the other two."""


@dataclass(frozen=True)
class Culprit:
    """An example that makes values not finite, found by running parts of its batch on a copy.

    `example` is its index in the split as it was read, -1 where only several together do it;
    `alone` tells whether it does so by itself, `rest` whether the batch is finite without it.
    `place` is the first layer whose output is not finite then, "the input of" one where what it is
    given is not already, "the data", "the loss" or "the gradient", and `kind` NaN, +infinity or
    -infinity there. `input` says how what the model is given differs, empty where nothing
    stands out.
    """

    example: int
    batch: int
    alone: bool
    rest: bool
    place: str
    kind: str
    input: str


@dataclass(frozen=True)
class NonFinite:
    """Flags of what was not finite.

    `flags` is [batches, layers] of the bits NAN, POSITIVE and NEGATIVE in each layer's output,
    layers in the order of execution; `input_flags` the same per batch for the model's inputs.
    `losses` is [batches], empty without a loss. `examples` are the indices, within the split as
    it was read, of examples whose own output held NaN or +infinity; none are told where the
    outputs have no row for each example. Of these, `whole` have no finite output at all.
    `target_flags` is [batches], the same of the targets; `gradient_flags` tells of each batch
    whether a parameter's gradient was not finite, where there was one. `culprits` are the examples
    that the first such batches were traced to.
    """

    layers: tuple[str, ...]
    flags: Array
    input_flags: Array
    losses: Array
    examples: tuple[int, ...]
    seen: int
    split: str
    whole: int = 0
    target_flags: Array = field(default_factory=lambda: np.zeros(0, np.uint8))
    gradient_flags: Array = field(default_factory=lambda: np.zeros(0, bool))
    culprits: tuple[Culprit, ...] = ()

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
            self.whole + other.whole,
            np.concatenate([self.target_flags, other.target_flags]),
            np.concatenate([self.gradient_flags, other.gradient_flags]),
            self.culprits + tuple(self._after(culprit) for culprit in other.culprits),
        )

    def _after(self, culprit: Culprit) -> Culprit:
        example = culprit.example + self.seen if culprit.example >= 0 else -1
        return replace(culprit, example=example, batch=culprit.batch + len(self.input_flags))


def _spread(seen: NonFinite, layers: tuple[str, ...]) -> Array:
    column = {layer: place for place, layer in enumerate(layers)}
    spread = np.zeros((len(seen.input_flags), len(layers)), np.uint8)
    spread[:, [column[layer] for layer in seen.layers]] = seen.flags
    return spread


@dataclass(frozen=True)
class NonFiniteOver(Riding[NonFinite]):
    """Asks where values stop being finite, with the model in evaluation mode.

    It rides over as many batches as any request does: a rare example takes a rare path.
    """

    batches: int = 64

    answer: ClassVar = NonFinite
    depth: ClassVar = Depth.FORWARD


@dataclass(frozen=True)
class NonFiniteInTrainingOver(Riding[NonFinite]):
    """Asks where values, and gradients where there are any, stop being finite in training mode."""

    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = NonFinite
    depth: ClassVar = Depth.FORWARD
    mode: ClassVar[Mode] = "train"


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
