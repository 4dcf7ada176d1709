"""Layers that normalise by running statistics: their settings, and the order in which they run."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Depth, Mode, Request, Riding
from auditor.core.values import Number


@dataclass(frozen=True)
class NormLayer:
    """One layer as it stands.

    `momentum` is None of a plain average over all batches, NaN where not known, as `updates`, the
    batches that it counted, is. `untouched` tells that its statistics are 0 and 1 as they were
    built; of its `channels`, `constant` have a running variance below eps, `impossible` one that is
    negative or statistics that are not finite. `zeros` and `negatives` count its scales; where it
    has none, `scales` is False. `frozen` layers stay in evaluation mode when the model is put in
    training mode, `awake` ones in training mode when it is put in evaluation mode. `running` is
    False where no statistics are kept.
    """

    layer: str
    kind: str
    channels: int
    eps: Number
    momentum: Number | None
    updates: Number
    running: bool
    untouched: bool
    constant: int
    impossible: int
    scales: bool
    zeros: int
    negatives: int
    frozen: bool
    awake: bool


@dataclass(frozen=True)
class NormLayers:
    """All such layers; `modes` is False of a checkpoint alone, which tells no kinds or modes."""

    layers: tuple[NormLayer, ...]
    modes: bool


@dataclass(frozen=True)
class NormLayersOf(Request[NormLayers]):
    """Asks for the layers that normalise over a batch."""

    answer: ClassVar = NormLayers
    requires: ClassVar[frozenset[Capability]] = frozenset({"weights"})


@dataclass(frozen=True)
class DropoutBefore:
    """Dropout whose output reaches a norm with no other norm in between.

    `share` is what it drops, NaN of a mask that the model draws itself.
    """

    dropout: str
    norm: str
    share: Number


@dataclass(frozen=True)
class RanNorm:
    """A norm as it ran on one batch: how often, on how many values per channel a call.

    `biased` names the layer with a bias whose output is what the norm is given, else empty.
    """

    layer: str
    calls: int
    values: int
    biased: str


@dataclass(frozen=True)
class NormSequence:
    """What one batch in training mode showed, of `examples` examples.

    `dropouts` names all that dropped, `pairs` what of it reaches a norm, in the order of execution.
    """

    norms: tuple[RanNorm, ...]
    dropouts: tuple[str, ...]
    pairs: tuple[DropoutBefore, ...]
    examples: int

    def merge(self, other: "NormSequence") -> "NormSequence":
        """Return what the earlier batch showed: it stands for all."""
        return self


@dataclass(frozen=True)
class NormSequenceOver(Riding[NormSequence]):
    """Asks in which order dropout and batch norm run, as a batch in training mode shows it."""

    batches: int = 1
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = NormSequence
    depth: ClassVar = Depth.FORWARD
    mode: ClassVar[Mode] = "train"
    requires: ClassVar[frozenset[Capability]] = frozenset({"batch_norm"})
    scaled: ClassVar[tuple[str, ...]] = ()
