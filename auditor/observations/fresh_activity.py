"""Which units of rectifying layers fire in fresh models, to set silent units beside."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import clopper_pearson
from auditor.observations.activity import UnitActivity

MANY = 0.1
"""Share of a layer's units that are silent in the audited model from which on fresh ones are
looked at."""

SURE = 0.99
"""Confidence with which a layer is said to have more silent units than fresh models have."""


@dataclass(frozen=True)
class FreshActivity:
    """The activity of fresh models, one for each seed, over the same examples.

    None where no layer of the audited model has many silent units.
    """

    models: tuple[UnitActivity, ...]

    def dead(self, layer: str, units: int) -> tuple[int, ...]:
        """Return how many units of a layer are silent in each fresh model; empty if unknown."""
        return tuple(
            own.dead
            for model in self.models
            for own in model.layers
            if own.layer == layer and own.fired.size == units
        )

    def dead_in_all(self) -> tuple[int, ...]:
        """Return how many units of all layers are silent in each fresh model."""
        return tuple(sum(own.dead for own in model.layers) for model in self.models)


def as_usual(dead: int, units: int, fresh: tuple[int, ...], among: int) -> bool:
    """Tell whether so many silent units are not surely more than some fresh model has.

    Sure at 99 %, shared out `among` so many layers.
    """
    sure = 1 - 2 * (1 - SURE) / max(1, among)
    return bool(fresh) and clopper_pearson(dead, units, sure)[0] <= max(fresh) / units


@dataclass(frozen=True)
class FreshActivityOver(Request[FreshActivity]):
    """Asks which units of fresh models fire, dropout off and batch norm on batch statistics."""

    seeds: int = 3
    batches: int = 16
    split: Split = "val"

    answer: ClassVar = FreshActivity
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory"})
    scaled: ClassVar = ("batches",)
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of the audited model, and of fresh ones where it has silent units."""
        return Cost(forwards=(1 + self.seeds) * min(self.batches, batches.get(self.split, 0)))

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches that each model is shown."""
        return {self.split: min(self.batches, batches.get(self.split, 0))}
