"""What it costs to take each block of the model out."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

MOST = 24
"""Blocks taken out, each by itself; of more, so many are chosen evenly by depth."""
PILES = 8
"""Blocks that cost least, taken out one after the other until so many are out together."""
SCRAMBLED = 8
"""Blocks that never ran whose weights are changed to see whether anything follows."""

SLIGHT = 0.01
"""Share of what the model gains over a constant answer that an idle block costs at most."""

Way = Literal["identity", "mean"]
Reason = Literal["constant", "identity", "dropped", "unused"]


@dataclass(frozen=True)
class InertBlock:
    """A block with weights that does nothing at all, whatever the input.

    Its output is "constant" though its input varies, or its input's "identity", both within
    rounding; it is "dropped" where the model puts out the same whatever the block does, "unused"
    where it never runs and its weights change nothing.
    """

    name: str
    kind: str
    parameters: int
    reason: Reason


@dataclass(frozen=True)
class Ablations:
    """The model's scores on `examples` of `split`, whole and without each of its blocks.

    Blocks stand in the order of execution. `ways` says what takes a block's place: its input
    ("identity"), or its mean output over the examples ("mean"). `scores` [examples] of `metric`,
    and `entropies` [examples] in nats where outputs are class scores (else empty), are the whole
    model's; `without_scores` and `without_entropies` [blocks, examples] those with the block out.
    `constant_score` and `constant_entropy` are what the best constant answer gets.

    `piles` holds numbers of blocks, `without_piles` [piles, examples] the losses (see `losses`)
    with the first one, the first two ... of them out together. `skipped` blocks are known but not
    tried; `broke` names those without which the model raised.
    """

    blocks: tuple[str, ...]
    parameters: tuple[int, ...]
    ways: tuple[Way, ...]
    inert: tuple[InertBlock, ...]
    metric: Literal["accuracy", "squared error", "absolute error"]
    scores: Array
    entropies: Array
    without_scores: Array
    without_entropies: Array
    constant_score: Number
    constant_entropy: Number
    piles: tuple[int, ...]
    without_piles: Array
    all_parameters: int
    skipped: int
    broke: tuple[str, ...]
    split: str

    @property
    def examples(self) -> int:
        """Return the number of examples scored."""
        return len(self.scores)

    @property
    def losses(self) -> Array:
        """Return [examples]: cross-entropies where there are any, else the errors."""
        return self.entropies if len(self.entropies) else self.scores

    @property
    def without_losses(self) -> Array:
        """Return `losses` with each block out, [blocks, examples]."""
        return self.without_entropies if len(self.entropies) else self.without_scores

    @property
    def gain(self) -> float:
        """Return by how much the mean loss lies below that of a constant answer.

        Of the whole model, or without the block without which it is lowest: one block alone can
        ruin a model that has learnt much.
        """
        constant = self.constant_entropy if len(self.entropies) else self.constant_score
        means = [self.losses.mean(), *self.without_losses.mean(axis=1)]
        return float(constant - np.min(means)) if self.examples else float("nan")

    def costs(self) -> Array:
        """Return [blocks]: what of the gain is lost with the block out, as a share of it."""
        return np.asarray((self.without_losses - self.losses).mean(axis=1) / self.gain)

    def cheapest(self) -> tuple[int, ...]:
        """Return the blocks that seem to cost next to nothing, cheapest first.

        The last block is never among them: without it the answer is a constant.
        """
        if not (len(self.blocks) > 1 and self.gain > 0):
            return ()
        costs = self.costs()[:-1]
        return tuple(int(i) for i in np.argsort(costs) if costs[i] <= SLIGHT)[:PILES]


@dataclass(frozen=True)
class AblationsOver(Request[Ablations]):
    """Asks what it costs to take out each block, on some batches of validation data."""

    batches: int = 32
    split: Literal["val"] = "val"

    answer: ClassVar = Ablations
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "val", "loss"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return a pass to record, one without each block and pile, and some of a batch each."""
        read = min(self.batches, batches.get("val", 0))
        return Cost(read * (1 + MOST + PILES) + MOST + SCRAMBLED + 2 if read else 0)
