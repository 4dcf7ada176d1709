"""What the suspected cure of a loss does, on copies."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number
from auditor.observations.loss_probe import LossProbeOver

SCORED = 8
"""Validation batches that both copies are scored on."""


@dataclass(frozen=True)
class LossCure:
    """Two copies of one fresh model, trained on the same batches by either loss.

    `kind` is the misfit that the loss was cured of; `same_loss` tells that the cure changes what
    the loss is given, not the loss. `as_is` and `cured` [steps] are the cured
    loss of both copies before each step, so that they can be compared; empty where there was no
    race, and `no_race` says why. `scores_as_is` and `scores_cured` [examples] are what they then
    score on the same examples of `split` by `metric`. `checkpoint_as_is` and `checkpoint_cured`
    are the checkpoint's own loss by the loss as it is and by the cured one.
    """

    kind: str
    same_loss: bool
    as_is: Array
    cured: Array
    metric: str
    scores_as_is: Array
    scores_cured: Array
    checkpoint_as_is: Number
    checkpoint_cured: Number
    optimizer: str
    split: str
    no_race: str = ""


@dataclass(frozen=True)
class LossCureFrom(Request[LossCure]):
    """Asks what the cure of a loss does, where something suggests that it needs one."""

    steps: int = 80
    split: str = "train_or_val"

    answer: ClassVar = LossCure
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    at_most: ClassVar = True

    @property
    def probe(self) -> LossProbeOver:
        """Return the probe that tells whether there is anything to cure."""
        return LossProbeOver(split=self.split)

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have; a race wants a factory and training data besides."""
        return self.probe.needed()

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of the probe, of the checkpoint, and of a race of two."""
        known = batches.get("val", batches.get("train", 0))
        scored = 3 * min(SCORED, known)
        steps = 2 * self.steps if batches.get("train") else 0
        return self.probe.cost(batches) + Cost(scored + steps, steps)
