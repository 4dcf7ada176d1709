"""How far the weights of a checkpoint are from those that the factory begins with."""

import math
from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Request
from auditor.core.values import Number


@dataclass(frozen=True)
class InitialTensor:
    """One parameter beside its likes in fresh models.

    `fixed`: fresh models have the same values whatever the seed; `constant`: and all are one
    value, `value`. `same`: it equals a fresh one bit for bit, under `seed` where that is drawn.
    `uniform`: fresh ones are drawn evenly from an interval; `gaps` are then how far its smallest
    and largest values stay inside that interval (beyond it where negative), as shares of its width.
    `distance` is the largest of the distances of its mean, deviation and first singular value from
    those of fresh ones, in their standard deviations; NaN where that was not measured. `width` is
    that of the interval, and `shift` how far its values are from their start as far as that shows:
    the root mean square from a constant, or how far its ends are from those of the interval; both
    are NaN of others.
    """

    name: str
    size: int
    dimensions: int
    type: str
    trainable: bool
    finite: bool
    fixed: bool
    constant: bool
    value: Number
    same: bool
    seed: int | None
    uniform: bool
    gaps: tuple[Number, Number]
    distance: Number
    width: Number = math.nan
    shift: Number = math.nan


@dataclass(frozen=True)
class InitialWeights:
    """`fresh` is the number of fresh models, of the `seeds`.

    `batch_norms` counts layers of batch normalisation that keep statistics, and `untouched` names
    those that never counted a batch and whose statistics are those that they were built with.
    """

    tensors: tuple[InitialTensor, ...]
    seeds: tuple[int, ...]
    batch_norms: int
    untouched: tuple[str, ...]


@dataclass(frozen=True)
class InitialWeightsOf(Request[InitialWeights]):
    """Asks how the weights compare with those of fresh models."""

    answer: ClassVar = InitialWeights
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory"})
