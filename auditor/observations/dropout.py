"""Dropout: where it is, what it does to the answers, and what copies gain without it."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

PASSES = 4
"""Passes with dropout on over each batch."""

SCORED = 2
"""Batches of each split that copies are scored on."""

SEEDS = 2
"""Pairs of copies."""

LOST = 0.2
"""Share of what a network knows that dropout takes away, from which copies are raced."""

HIGH = 0.5
"""Rate from which copies are raced."""

EXTREME = 0.9
"""Rate from which the race is longer: a network that learns for all that, through its shortcuts or
its width, shows only after some steps what is held back."""

LONGER = 6
"""How many times more steps such a race takes."""

LONGER_SCORED = 8
"""Batches of each split that its copies are scored on."""


@dataclass(frozen=True)
class DropoutSite:
    """A module that drops, `kind` its class or the function that it calls itself.

    `rate` is the share that is set to zero. `training` and `evaluation` tell whether it drops in
    either mode. `at` is "input" where nothing that is trained comes before it, "output" where
    nothing that is trained comes after it, "idle" where it can have no effect (of a recurrent layer
    that has no second layer), "unused" where it never ran.
    """

    layer: str
    kind: str
    rate: Number
    training: bool
    evaluation: bool
    at: Literal["", "input", "output", "idle", "unused"] = ""


@dataclass(frozen=True)
class WithoutDropout:
    """Pairs of copies after the same steps on the same batches, without dropout and with it.

    Losses are [pairs, examples], dropout off, by `measure`; scores [pairs, 2, 2] are accuracies of
    training and validation data, with and without it, NaN where the task has none.
    """

    steps: int
    optimizer: str
    measure: str
    train_with: Array
    train_without: Array
    val_with: Array
    val_without: Array
    scores: Array


@dataclass(frozen=True)
class Dropout:
    """What dropout does to the answers for some batches, batch norm on its running statistics.

    `plain` [batches] are losses with dropout off, `dropped` [passes, batches] with dropout on,
    `evaluated` [batches] in evaluation mode as the model has it. `constant` is the loss of one
    answer to all, their mean. `spread` is the share of predictions that a pass changes (`flips`),
    or the deviation over passes relative to that over examples. `raced` is None where copies were
    not trained, for the reason `no_race`; `untold` says why losses could not be had. `answers`
    tells whether the outputs are answers to a standard task, and not features for what follows.
    """

    sites: tuple[DropoutSite, ...]
    plain: Array
    dropped: Array
    evaluated: Array
    constant: Number
    spread: Number
    flips: bool
    examples: int
    split: str
    raced: WithoutDropout | None
    no_race: str
    answers: bool = True
    untold: str = ""

    @property
    def active(self) -> tuple[DropoutSite, ...]:
        """Return the sites that drop something while the model is trained."""
        return tuple(s for s in self.sites if s.training and s.rate > 0 and s.at != "idle")

    @property
    def left_on(self) -> tuple[DropoutSite, ...]:
        """Return the sites that drop in evaluation mode."""
        return tuple(s for s in self.sites if s.evaluation and s.rate > 0 and s.at != "idle")

    def lost(self, constant: float) -> float:
        """Return which share of its advantage over a constant answer a network loses to dropout.

        1 is all of it; NaN where it has no advantage or no loss is known.
        """
        if not self.dropped.size:
            return math.nan
        plain, dropped = float(np.mean(self.plain)), float(np.mean(self.dropped))
        known = constant - plain
        return (dropped - plain) / known if known > 1e-3 * abs(constant) else math.nan


@dataclass(frozen=True)
class DropoutOver(Request[Dropout]):
    """Asks where dropout is and what it does; copies make so many steps with and without it.

    Where a rate is extreme they make `LONGER` times as many.
    """

    steps: int = 5
    batches: int = 2
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = Dropout
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
    scaled: ClassVar = ("steps", "batches")
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes in both modes, with dropout, and of the copies; at most."""
        looks = 2 + self.batches * (PASSES + 2)
        if not batches.get("train"):
            return Cost(looks)
        steps = 2 * SEEDS * LONGER * self.steps
        splits = batches["train"], batches.get("val", 0)
        scored = 2 * SEEDS * sum(min(LONGER_SCORED, many) for many in splits)
        return Cost(looks + steps + scored, steps)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches that one copy is trained and scored on."""
        looked: dict[Split, int] = {"val": min(LONGER_SCORED, batches.get("val", 0))}
        if batches.get("train"):
            looked["train"] = max(LONGER * self.steps, self.batches)
        return looked
