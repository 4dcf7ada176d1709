"""Gradients of the loss, as autograd has them and as differences of the loss have them."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Number
from auditor.observations.culprits import Culprit

State = Literal["decided", "kink", "small", "open"]


@dataclass(frozen=True)
class Checked:
    """One tensor: the derivatives of the loss by some of its coordinates and along a direction.

    `decided` of the `probes` could be told from rounding and from kinks; `kinks` lay on a kink.
    `error` is |a - n| / max(|a|, |n|) of the worst decided one, less rounding, with `analytic` (a)
    and `numeric` (n) its derivatives; NaN where none was decided. `factor` is a / n where it is the
    same for all decided probes, else NaN. `along` is the error along the random direction. The
    tensor was moved together with `group` - 1 others.
    """

    name: str
    kind: Literal["parameter", "input"]
    elements: int
    coordinates: int
    probes: int
    decided: int
    kinks: int
    error: Number
    analytic: Number
    numeric: Number
    factor: Number
    along: Number
    group: int = 1

    @property
    def cut(self) -> bool:
        """Tell whether autograd has nothing where the loss changes."""
        return self.decided > 0 and self.analytic == 0 and self.numeric != 0


@dataclass(frozen=True)
class GradientCheck:
    """What differences of the loss say of its gradients, dropout off and batch norm in evaluation.

    `frozen` names the parameters that need no gradient. `training` is the derivative along all
    tensors at once in training mode, None where it was left out, which `no_training` explains.
    `forward` is the relative error of forward- against reverse-mode along one direction, NaN where
    it was left out, which `no_forward` explains. `noise` is the rounding error of the `loss`.
    `raised` is what the backward pass raised, and `passes` how often the loss was computed. `fresh`
    tells that the weights are not the checkpoint's, which are not finite, but a fresh model's.
    """

    tensors: tuple[Checked, ...]
    frozen: tuple[str, ...]
    training: Checked | None
    no_training: str
    forward: Number
    no_forward: str
    culprits: tuple[Culprit, ...]
    loss: Number
    noise: Number
    examples: int
    passes: int
    raised: str = ""
    fresh: bool = False


@dataclass(frozen=True)
class GradientCheckOver(Request[GradientCheck]):
    """Asks for a numerical gradient check on a copy in float64, over so many examples."""

    examples: int = 2
    coordinates: int = 4
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = GradientCheck
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    scaled: ClassVar = ("coordinates",)
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return about what a model of fifty tensors takes."""
        return Cost(100 * (self.coordinates + 1) + 32, 3)
