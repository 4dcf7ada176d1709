"""How large activations are, layer by layer, and how much they differ between examples."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Depth, Mode, Riding
from auditor.core.values import Array

STATISTICS = (
    "values",
    "mean",
    "variance",
    "fourth",
    "low",
    "high",
    "zeros",
    "small",
    "gone",
    "across",
    "given",
    "given_across",
)
"""What is known of one layer's output on one batch.

The number of values; their mean, variance and fourth central moment; the least and the largest; the
shares that are zero, below 6.1e-5 (the smallest normal float16) and below 3e-8 (zero in float16),
zeros counted in both. `across` tells how much examples differ: at each position the variance
between examples over the mean square, averaged over positions, so that one large feature does not
hide the others. `given` is the mean square of the input, `given_across` how much that differs
between examples. NaN is not known.
"""


@dataclass(frozen=True)
class LayerKind:
    """What does not depend on the data.

    `weighted` is True of a linear or convolutional layer, `normalised` where a normalisation takes
    its output and nothing else was seen between, `norm` where it is one itself, `empty` where all
    weights are zero. `whole` is True of the model and of the layer whose output is the model's,
    `leaf` where no other module runs inside. `precision` names the type of the output ("float32").
    """

    layer: str
    kind: str
    weighted: bool
    norm: bool
    normalised: bool
    empty: bool
    leaf: bool
    whole: bool
    precision: str


@dataclass(frozen=True)
class ActivationScale:
    """`rows` is [batches, layers, statistics], layers in the order of execution.

    `batches` numbers the batches, `inputs_across` tells how much the inputs of each differ between
    examples, NaN where not known.
    """

    layers: tuple[LayerKind, ...]
    rows: Array
    batches: Array
    inputs_across: Array
    examples: int
    split: str

    def of(self, statistic: str) -> Array:
        """Return one statistic as [batches, layers]."""
        return np.asarray(self.rows, float)[:, :, STATISTICS.index(statistic)]

    def merge(self, other: "ActivationScale") -> "ActivationScale":
        """Return the statistics over the batches of both, `other` following `self`."""
        kinds = {kind.layer: kind for kind in other.layers} | {k.layer: k for k in self.layers}
        names = dict.fromkeys(k.layer for k in (*self.layers, *other.layers))
        layers = tuple(kinds[name] for name in names)
        after = int(self.batches.max()) + 1 if self.batches.size else 0
        return ActivationScale(
            layers,
            np.concatenate([_spread(self, layers), _spread(other, layers)]),
            np.concatenate([self.batches, other.batches + after]),
            np.concatenate([self.inputs_across, other.inputs_across]),
            self.examples + other.examples,
            self.split,
        )


def _spread(scale: ActivationScale, layers: tuple[LayerKind, ...]) -> Array:
    column = {kind.layer: place for place, kind in enumerate(layers)}
    spread = np.full((len(scale.batches), len(layers), len(STATISTICS)), np.nan)
    spread[:, [column[kind.layer] for kind in scale.layers]] = scale.rows
    return spread


@dataclass(frozen=True)
class ActivationScaleOver(Riding[ActivationScale]):
    """Asks how large activations are with the model in evaluation mode."""

    answer: ClassVar = ActivationScale
    depth: ClassVar = Depth.FORWARD


@dataclass(frozen=True)
class ActivationScaleInTraining(Riding[ActivationScale]):
    """Asks how large activations are with the model in training mode."""

    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = ActivationScale
    depth: ClassVar = Depth.FORWARD
    mode: ClassVar[Mode] = "train"
