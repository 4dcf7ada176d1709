"""Which parameters the gradient of the loss reaches, and why it does not reach the others."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Mode, Request, Riding, Split
from auditor.core.values import Array


@dataclass(frozen=True)
class ParameterReach:
    """How often each parameter got a gradient, over `batches` batches.

    Per parameter of `parameters`, each once: its other names, its number of values and of
    dimensions, whether it is trainable, whether a module that holds it directly ran, and in
    `counts`, [parameters, 3], the batches in which it got no gradient, one of nothing but zeros,
    and one that is not finite. `idle` names the outermost modules that never ran, nor anything
    inside them, `kinds` their classes, and `siblings` tells whether another module of the same
    class in the same list did. `losses` counts batches whose loss has a gradient at all, `flat`
    those whose loss is exactly zero. `unheld` are attributes with the number of their values on
    which the loss hangs, though they are none of the model's parameters.
    """

    parameters: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]
    sizes: tuple[int, ...]
    dimensions: tuple[int, ...]
    trainable: tuple[bool, ...]
    ran: tuple[bool, ...]
    counts: Array
    batches: int
    idle: tuple[str, ...]
    kinds: tuple[str, ...]
    siblings: tuple[bool, ...]
    losses: int
    flat: int
    split: str
    unheld: tuple[tuple[str, int], ...] = ()

    def merge(self, other: "ParameterReach") -> "ParameterReach":
        """Return what the batches of both tell; a module is idle that was so in both."""
        both = [place for place, name in enumerate(self.idle) if name in other.idle]
        return ParameterReach(
            self.parameters,
            self.aliases,
            self.sizes,
            self.dimensions,
            self.trainable,
            tuple(a or b for a, b in zip(self.ran, other.ran, strict=True)),
            self.counts + other.counts,
            self.batches + other.batches,
            tuple(self.idle[place] for place in both),
            tuple(self.kinds[place] for place in both),
            tuple(
                self.siblings[place] or other.siblings[other.idle.index(self.idle[place])]
                for place in both
            ),
            self.losses + other.losses,
            self.flat + other.flat,
            self.split,
            tuple(dict((*self.unheld, *other.unheld)).items()),
        )


@dataclass(frozen=True)
class ParameterReachOver(Riding[ParameterReach]):
    """Asks which parameters get a gradient with the model in training mode."""

    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = ParameterReach
    depth: ClassVar = Depth.BACKWARD
    mode: ClassVar[Mode] = "train"
    requires: ClassVar[frozenset[Capability]] = frozenset({"loss"})


@dataclass(frozen=True)
class SilenceCauses:
    """Why parameters get no gradient from one batch, dropout being off.

    `cut_off`: the loss hangs on them, yet no gradient comes back. `waiting`: they get one as soon
    as no other weight is exactly zero. `silent` are all that get none.
    """

    silent: tuple[str, ...]
    cut_off: tuple[str, ...]
    waiting: tuple[str, ...]
    tried: tuple[str, ...]


@dataclass(frozen=True)
class SilenceCausesOver(Request[SilenceCauses]):
    """Asks what becomes of the loss when parameters without a gradient are changed, on a copy."""

    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = SilenceCauses
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes where parameters are silent; where none is, it is one of each."""
        return Cost(71, 3)
