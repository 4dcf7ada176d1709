"""What a loss does with the model's outputs, tried on a few batches."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array
from auditor.observations.class_direction import ClassDirection

DRAWS = 6
"""Copies with their weights blown up, to see how far the outputs can go: so many of the checkpoint,
and as many of a fresh model, since a dead checkpoint's outputs do not move."""

PASSES = 4
"""Forward passes of a batch: whole, in two halves, and in quarters, each as long as the batch."""


SOFTMAX, SIGMOID = "softmax", "sigmoid"
"""What a loss that is like none of torch's is said to act like where it takes one of its own."""


@dataclass(frozen=True)
class LossProbe:
    """Outputs and targets as they stand in the batch, and how the loss treats them.

    `outputs` is [rows, width]; `targets` [rows] where they are `classes` by their index, which
    takes whole numbers with one dimension fewer than the outputs, else [rows, width]. Both are
    empty where they can't be read side by side. `ignored` of the targets are left out by the
    label `ignored_label`, `counted` are not; where these are many, not all rows are kept. There
    are `examples` behind them.

    `shaken` [rows, width] is what copies, of the checkpoint and of a fresh model, put out whose
    every parameter tensor was multiplied by ±3, ±30 or ±300 (`shaken_by` [rows]; `shaken_draw`
    [rows] numbers the copy): an activation at the end holds even those within its bounds.

    `acts_like` names, for each term of the loss, the function of `torch.nn.functional` that it
    agrees with on every batch, up to mean or sum. A term that is like none is said to act like
    `SOFTMAX` where a constant added to a row of outputs does not change it, and like `SIGMOID`
    where it pays beyond 0 and 1 to say yes and no; else it is empty. `over_batch` tells that in
    each batch every output sums to one over the examples, by itself or by its exponential.
    `whole` [batches] is the loss of 2k examples, `halves` [batches, 2] that of k and k,
    and `quarters` [batches] the mean of those of k / 2, NaN where k is odd.
    `unpaired` tells that outputs and targets have shapes which broadcast to every pair of both,
    and that the loss does not change when the targets are handed round among the examples.
    `broadcasts` tells the first half alone. `unstable` tells that a term of the user's own has no
    finite value where an answer is sure and wrong. `direction` is how a loss of the user's own
    pushes the scores of classes, None where it is one of torch's or judges no classes. `fresh`
    tells that none of the checkpoint's outputs is finite, so that `outputs` and losses are those
    of a fresh model. `end` names the module that makes the outputs, none the model's `forward`.
    """

    outputs: Array
    targets: Array
    classes: bool
    counted: int
    ignored: int
    ignored_label: int
    examples: int
    shaken: Array
    shaken_by: Array
    shaken_draw: Array
    acts_like: tuple[str, ...]
    over_batch: bool
    whole: Array
    halves: Array
    quarters: Array
    unpaired: bool
    broadcasts: bool
    output_shape: str
    target_shape: str
    width: int | None
    loss: str
    factory: str
    split: str
    unstable: bool = False
    direction: ClassDirection | None = None
    fresh: bool = False
    end: str = ""


@dataclass(frozen=True)
class LossProbeOver(Request[LossProbe]):
    """Asks how the loss treats the outputs of the model on a few batches."""

    batches: int = 4
    split: str = "train_or_val"

    answer: ClassVar = LossProbe
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of each batch, one of each copy with its weights blown up, and one that
        tells whether outputs are finite.
        """
        known = batches.get("train" if self.split == "train" else "val", 0)
        return Cost(forwards=PASSES * min(self.batches, known) + 2 * DRAWS + min(1, known))
