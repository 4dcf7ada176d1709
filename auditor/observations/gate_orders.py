"""What another order of a recurrent layer's gates makes of a checkpoint that does badly."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number
from auditor.observations.layer_blame import surely_below

EXAMPLES = 256
"""Examples that choose the order, and that it is measured on, together."""

MOST = 4
"""Layers that are tried alone at most."""

ORDERS = 23 + 5
"""Other orders that four gates have, and that three have."""

TRIED = 0.25
"""Share of the best constant's loss from which on the checkpoint is so bad that orders are tried.

A GRU of which reset and update gates changed places may keep half of what it knows.
"""

LEFT = 0.7
"""Share of the loss as it is, and of a constant answer's, that must be left at most."""

GATES: dict[int, tuple[str, ...]] = {
    3: ("reset", "update", "new"),
    4: ("input", "forget", "cell", "output"),
}
"""The gates of a GRU and of an LSTM, in the order in which torch keeps them."""


@dataclass(frozen=True)
class GateOrders:
    """The best other order of gates, and the losses that it leaves.

    In `layers` block `order[i]` of each weight and bias was put in place i. `before` and `after`
    [examples] are losses in evaluation mode of examples of `split` that did not choose it,
    cross-entropies in nats or errors, and `constant` is the mean loss of the best constant on them.
    `tried` counts what it was chosen from: 0 where the checkpoint is too good to have any try.
    """

    layers: tuple[str, ...]
    order: tuple[int, ...]
    before: Array
    after: Array
    constant: Number
    split: str
    tried: int


@dataclass(frozen=True)
class GateOrdersOver(Request[GateOrders]):
    """Asks what other orders of gates make of a checkpoint that does badly."""

    batches: int = 16
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = GateOrders
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss", "val"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of all tries."""
        most = min(self.batches, max(batches.values(), default=0))
        return Cost(forwards=most * (2 + ORDERS * (1 + MOST)))


def mends(told: GateOrders, rng: np.random.Generator) -> bool:
    """Tell whether another order surely makes the model good, though nothing was trained.

    Weights that know nothing of the data know as little in any order.
    """
    if not told.tried or not np.isfinite(told.after).all():
        return False
    constant = np.full(len(told.after), LEFT * float(told.constant))
    return surely_below(told.after, LEFT * np.asarray(told.before, float), rng) and surely_below(
        told.after, constant, rng
    )
