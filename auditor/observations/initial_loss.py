"""The loss of freshly initialised models."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.subject import TargetFacts
from auditor.core.values import Array, Number


@dataclass(frozen=True)
class FreshLosses:
    """`losses` is [seeds, batches], dropout off and batch norm on batch statistics.

    `loss` is the name of a loss that `torch.nn.functional` knows, else empty; `outputs` the
    width of the model's output; `output_deviation` [seeds] the standard deviation of what it
    put out; `input_mean` and `input_deviation` describe the inputs, NaN where they are token
    indices. `checkpoint_loss` is the mean loss of the checkpoint itself on the same batches,
    and `targets` the distribution of their targets.
    """

    loss: str
    outputs: int | None
    losses: Array
    output_deviation: Array
    input_mean: Number
    input_deviation: Number
    checkpoint_loss: Number
    targets: TargetFacts
    split: str


@dataclass(frozen=True)
class FreshLossesOver(Request[FreshLosses]):
    """Asks for the loss of fresh models over some seeds and batches."""

    seeds: int = 5
    batches: int = 4
    split: str = "train_or_val"

    answer: ClassVar = FreshLosses
    depth: ClassVar = Depth.FORWARD
    scaled: ClassVar = ("seeds",)
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory", "loss"})

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have, the split included."""
        return self.requires | {"train" if self.split == "train" else "val"}

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return a forward pass per seed and batch, and one per batch for the checkpoint."""
        looked_at = min(self.batches, batches.get("train" if self.split == "train" else "val", 0))
        return Cost(forwards=(self.seeds + 1) * looked_at)
