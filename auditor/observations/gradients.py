"""Gradient norms of parameters and activations, batch by batch."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Depth, Mode, Riding
from auditor.core.values import Array


@dataclass(frozen=True)
class GradientNorms:
    """2-norms of the gradient of the batch loss.

    `parameter_norms` is [batches, parameters], for the trainable parameters named in
    `parameters` in the order of execution, with the tensors' own norms in `weight_norms` and
    their number of dimensions in `dimensions`; NaN stands where a parameter got no gradient at
    all. `activation_norms` is [batches, layers], the root mean square over the examples of the
    norm of the gradient at each layer's output, times the batch size, so that it is the
    gradient of one example's own loss where the batch loss is a mean. `losses` is [batches].
    `used` tells of each parameter whether a module of torch.nn that holds it ran, `homes` in
    which layer it came into use. `depths` counts the layers with weights on the longest path from
    the input to each layer, itself included; `weighted` tells which layers those are, and `edges`
    are pairs (earlier, later) of layers with no other between them. Each of these is empty where
    it is not known. `tiny` is the smallest positive number of the type that the gradients were
    computed in, 0 where that is not known.
    """

    parameters: tuple[str, ...]
    dimensions: tuple[int, ...]
    weight_norms: Array
    parameter_norms: Array
    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    activation_norms: Array
    losses: Array
    split: str
    used: tuple[bool, ...] = ()
    homes: tuple[str, ...] = ()
    weighted: tuple[bool, ...] = ()
    depths: tuple[int, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    tiny: float = 0.0

    def over(self, batches: Array) -> "GradientNorms":
        """Return the norms over some of the batches, told by a flag each."""
        return replace(
            self,
            parameter_norms=self.parameter_norms[batches],
            activation_norms=self.activation_norms[batches],
            losses=self.losses[batches],
        )

    def merge(self, other: "GradientNorms") -> "GradientNorms":
        """Return the norms over the batches of both."""
        layers = tuple(dict.fromkeys((*self.layers, *other.layers)))
        known: list[dict[str, Any]] = [
            dict(zip(other.layers, theirs, strict=False))
            | dict(zip(self.layers, mine, strict=False))
            for mine, theirs in (
                (self.kinds, other.kinds),
                (self.weighted, other.weighted),
                (self.depths, other.depths),
            )
        ]
        kinds, weighted, depths = known
        return GradientNorms(
            self.parameters,
            self.dimensions,
            self.weight_norms,
            np.concatenate([self.parameter_norms, other.parameter_norms]),
            layers,
            tuple(str(kinds[layer]) for layer in layers),
            np.concatenate([_spread(self, layers), _spread(other, layers)]),
            np.concatenate([self.losses, other.losses]),
            self.split,
            tuple(a or b for a, b in zip(self.used, other.used, strict=False)),
            self.homes,
            tuple(bool(weighted[layer]) for layer in layers) if weighted else (),
            tuple(int(depths[layer]) for layer in layers) if depths else (),
            tuple(sorted({*self.edges, *other.edges})),
            max(self.tiny, other.tiny),
        )


def _spread(norms: GradientNorms, layers: tuple[str, ...]) -> Array:
    """Return the activation norms with a column for each of `layers`, NaN where not seen."""
    column = {layer: place for place, layer in enumerate(norms.layers)}
    spread = np.full((len(norms.losses), len(layers)), np.nan)
    for place, layer in enumerate(layers):
        if layer in column:
            spread[:, place] = norms.activation_norms[:, column[layer]]
    return spread


@dataclass(frozen=True)
class GradientNormsOver(Riding[GradientNorms]):
    """Asks for gradient norms with the model in training mode, as training sees them."""

    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = GradientNorms
    depth: ClassVar = Depth.BACKWARD
    mode: ClassVar[Mode] = "train"
    requires: ClassVar[frozenset[Capability]] = frozenset({"loss"})
