"""What each layer makes of the examples, as a table of features per layer."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.core.request import Depth, Riding
from auditor.core.values import Array

WIDTH = 128
"""Columns kept of a layer's features; wider ones are projected to so many at random."""
EXAMPLES = 512
"""Examples kept in all, evenly of each batch."""
LAYERS = 40
"""Layers kept; of more, so many are chosen evenly by depth, the first and the last among them."""

STILL = 1e-5
"""Deviation over examples, relative to the features' size, that is no more than rounding."""


@dataclass(frozen=True)
class LayerFeatures:
    """One layer's output over the examples, [examples, min(units, `WIDTH`)], float32.

    Of a convolution the mean over all positions, of a sequence the mean over time. `weighted`
    tells whether the layer itself has weights, `uniform` whether all steps of a sequence have one
    and the same output, but for rounding; None where there are no steps, or one unit.
    """

    layer: str
    kind: str
    units: int
    weighted: bool
    features: Array
    uniform: bool | None = None

    def singular_values(self) -> Array:
        """Return the singular values of the centred features, descending; NaN where they are."""
        return singular_values(self.features)

    @property
    def still(self) -> bool:
        """Tell whether the features are the same for all examples, but for rounding."""
        table = np.asarray(self.features, float)
        size = np.sqrt(np.square(table).mean())
        return bool(np.sqrt(table.var(axis=0).mean()) <= STILL * size)


@dataclass(frozen=True)
class Features:
    """The features of the layers, in the order of execution, of examples in the split's order.

    `inputs` [examples, columns] are the model's own inputs, flattened and projected alike; no
    columns where they are not numbers or vary in size. `targets` and `predicted` [examples] are
    classes, -1 where an example has none of its own; `classes` is how many the model tells apart,
    0 where it tells none. `left_out` layers were not chosen.
    """

    layers: tuple[LayerFeatures, ...]
    inputs: Array
    targets: Array
    predicted: Array
    classes: int
    left_out: int
    split: str

    @property
    def examples(self) -> int:
        """Return the number of examples kept."""
        return len(self.targets)

    def merge(self, other: "Features") -> "Features":
        """Return the features of both, `other` following `self`, of the layers that both have."""
        theirs = {(layer.layer, layer.units): layer for layer in other.layers}
        both = [layer for layer in self.layers if (layer.layer, layer.units) in theirs]
        same = self.inputs.shape[1] == other.inputs.shape[1]
        inputs = (self.inputs, other.inputs) if same else (self.inputs[:, :0], other.inputs[:, :0])
        return Features(
            tuple(
                LayerFeatures(
                    mine.layer,
                    mine.kind,
                    mine.units,
                    mine.weighted,
                    np.concatenate([mine.features, theirs[mine.layer, mine.units].features]),
                    _both(mine.uniform, theirs[mine.layer, mine.units].uniform),
                )
                for mine in both
            ),
            np.concatenate(inputs),
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.predicted, other.predicted]),
            max(self.classes, other.classes),
            max(self.left_out, other.left_out),
            self.split,
        )


def _both(one: bool | None, other: bool | None) -> bool | None:
    return other if one is None else one if other is None else one and other


def singular_values(features: Array) -> Array:
    """Return the singular values of a centred table, from its smaller Gram matrix in float64."""
    table = np.asarray(features, float)
    if not table.size or not np.isfinite(table).all():
        return np.full(min(table.shape), np.nan)
    table = table - table.mean(axis=0)
    scale = np.abs(table).max()
    if not scale > 0:
        return np.zeros(min(table.shape))
    table = table / scale
    gram = table.T @ table if table.shape[1] <= len(table) else table @ table.T
    return np.asarray(np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)) * scale)


def linear_cka(a: Array, b: Array) -> float:
    """Return ‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖) of two centred tables of the same examples, in [0, 1].

    Kornblith, Norouzi, Lee & Hinton 2019, "Similarity of neural network representations
    revisited", equation 3. NaN where one of them does not vary.
    """
    x, y = (np.asarray(table, float) for table in (a, b))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    apart = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.square(np.linalg.norm(x.T @ y)) / apart) if apart > 0 else float("nan")


@dataclass(frozen=True)
class FeaturesOver(Riding[Features]):
    """Asks what each layer makes of the examples, with the model in evaluation mode."""

    answer: ClassVar = Features
    depth: ClassVar = Depth.FORWARD
