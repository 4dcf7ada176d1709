"""How sharply the training loss curves at the checkpoint: the ends of its Hessian's spectrum."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number


@dataclass(frozen=True)
class Curvature:
    """The Hessian of the training loss over its `parameters` trainable numbers, at the checkpoint.

    `largest` is its top eigenvalue over the mean loss of the first `batches` batches, in units of
    loss per squared weight: gradient descent at a rate above 2 / `largest` leaves this place.
    Dropout is off and batch norm on its batch's statistics, as the loss is that training goes down.
    `ritz` and `residuals` [iterations] are Lanczos' estimates of it, and |Hv - λv| of each: one
    eigenvalue at least lies that near, so that `largest` is within `residual`, the last of them, of
    one. `smallest` is the least Ritz value, negative where the loss also curves downwards.

    `low` and `high` are the 95 % interval of the curvature along the top eigenvector on other
    batches, `along` its mean there; all three NaN where there are no two other batches. `trace` is
    the sum of all eigenvalues by random probes, each on another batch, with its 95 % interval.
    `examples` were looked at in all, of the training data where there is any (`split`). `method`
    says how Hv was had, for people; `note` what had to be done differently.
    """

    largest: Number
    residual: Number
    ritz: Array
    residuals: Array
    smallest: Number
    along: Number
    low: Number
    high: Number
    trace: Number
    trace_low: Number
    trace_high: Number
    probes: int
    parameters: int
    batches: int
    examples: int
    split: str
    method: str
    note: str = ""


@dataclass(frozen=True)
class CurvatureOver(Request[Curvature]):
    """Asks for the top of the Hessian over some batches, and its trace over `probes` others.

    A Hessian-vector product of a batch costs a forward pass and three backward passes: one for the
    gradient, two for the gradient's own. A probe shares its first two with the top eigenvector's.
    By differences of gradients a product is two forward and two backward passes, no dearer in all.
    """

    batches: int = 3
    iterations: int = 7
    probes: int = 4
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = Curvature
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    scaled: ClassVar = ("batches", "probes")
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of all Hessian-vector products, and two of a first look."""
        products = min(self.batches, self._given(batches)) * self.iterations
        if not products:
            return Cost()
        return Cost(2 + products + self.probes, 3 * products + 5 * self.probes)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches that the Hessian and its probes are taken over."""
        split: Split = "val" if self.split == "val" else "train"
        return {split: min(self.batches + self.probes, self._given(batches))}

    def _given(self, batches: dict[Split, int]) -> int:
        return batches.get("val" if self.split == "val" else "train", 0)
