"""How much worse the checkpoint does on inputs that belong to other targets."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number


@dataclass(frozen=True)
class InputUse:
    """Losses with the inputs as they are, and with those of another example.

    Each row is an example, or a batch where only the loss of a batch can be told (`per` says
    which). `own` [rows] is its loss, `others` [permutations, rows] the same with the inputs of
    another example each time, in evaluation mode. `metric` names it: "cross-entropy" of an
    example's own targets, "squared error", "absolute error" or "loss". `constant` is the mean loss
    of the one answer that suits these targets best, NaN where it is not known. `wrong`,
    `wrong_others` and `wrong_constant` are the same of the share of targets predicted wrong, empty
    and NaN where nothing is classified.

    `targets` and `inputs` are the numbers of different ones among `examples`.
    """

    own: Array
    others: Array
    metric: Literal["cross-entropy", "squared error", "absolute error", "loss"]
    per: Literal["example", "batch"]
    constant: Number
    wrong: Array
    wrong_others: Array
    wrong_constant: Number
    examples: int
    targets: int
    inputs: int
    split: str


@dataclass(frozen=True)
class InputUseOver(Request[InputUse]):
    """Asks for the checkpoint's losses with the inputs exchanged among examples."""

    batches: int = 16
    permutations: int = 4
    split: Literal["train", "val"] = "val"

    answer: ClassVar = InputUse
    depth: ClassVar = Depth.FORWARD
    scaled: ClassVar = ("batches",)
    at_most: ClassVar = True

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have, the split included."""
        return frozenset({"model", "loss", self.split})

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return a pass over the batches as they are and one for each permutation."""
        return Cost((1 + self.permutations) * min(self.batches, batches.get(self.split, 0)))
