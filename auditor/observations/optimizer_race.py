"""A short race from fresh weights between the declared optimizer and others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Profile, Request, Split
from auditor.core.values import Array, Number

Kind = Literal["declared", "retuned", "mended", "SGD", "AdamW"]
"""`retuned` is the declared optimizer at the best of the rates tried, `mended` with settings put
right."""

RATES = 3
"""Learning rates that each optimizer is tried at, beside the declared one's own."""

RIVALS = 2
"""SGD with Nesterov momentum and AdamW."""

AMOUNTS: Mapping[Profile, tuple[int, int, int]] = {"quick": (3, 4, 90), "deep": (8, 12, 576)}
"""Starts, steps of the search, and steps of the race in all, at other profiles than standard."""


@dataclass(frozen=True)
class Heat:
    """The search for a rate: `losses` [rates] is the mean training loss of the last steps.

    NaN stands where a loss was not finite. `chosen` is the place of the best.
    """

    kind: Kind
    name: str
    rates: tuple[Number, ...]
    losses: tuple[Number, ...]
    chosen: int


@dataclass(frozen=True)
class Racer:
    """One optimizer at one rate: `losses` [seeds, steps] before each step, in training mode.

    `after` [seeds] is the mean loss of the held batches at the end, dropout off. Values that are
    not finite are NaN.
    """

    kind: Kind
    name: str
    rate: Number
    losses: Array
    after: Array

    def progress(self, before: Array, most: float) -> tuple[Array, Array]:
        """Return by how much the held loss fell, and the training loss on average, [seeds] each.

        Both within [-most, most], so that a run that was lost counts as one that climbed so far.
        """
        start = np.asarray(before, float)
        end = np.nan_to_num(start - np.asarray(self.after, float), nan=-most)
        fall = start[:, None] - np.asarray(self.losses, float)
        fall = np.clip(np.nan_to_num(fall, nan=-most), -most, most)
        return np.clip(end, -most, most), fall.mean(axis=1)


@dataclass(frozen=True)
class OptimizerRace:
    """Racers from the same fresh weights over the same batches; `before` [seeds] is the held loss.

    `declared` is the declared optimizer in words, empty where it is not known, with `rate`, its
    rate. `absent` tells why it did not race, empty where it did. `mended` names the settings that
    were put right in the racer of that name. `apart` tells whether the held batches were kept out
    of the training. `note` says what had to be done differently.
    """

    declared: str
    rate: Number
    absent: str
    mended: tuple[str, ...]
    heats: tuple[Heat, ...]
    racers: tuple[Racer, ...]
    before: Array
    steps: int
    trial: int
    examples: int
    held: int
    apart: bool
    note: str = ""

    def racer(self, kind: Kind) -> Racer | None:
        """Return the racer of a kind, None where there is none."""
        return next((racer for racer in self.racers if racer.kind == kind), None)


@dataclass(frozen=True)
class OptimizerRaceOver(Request[OptimizerRace]):
    """Asks for a race of `seeds` fresh models an optimizer.

    `trial` steps from one start choose a rate for each; then `total` steps are shared out among
    the racers and the starts, `steps` at most to each. `held` batches are looked at before and
    after.
    """

    seeds: int = 4
    trial: int = 6
    total: int = 168
    steps: int = 60
    held: int = 2

    answer: ClassVar = OptimizerRace
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory", "loss", "train"})
    at_most: ClassVar = True

    def at(self, profile: Profile, has: frozenset[Capability]) -> Self:
        """Return this request with fewer or more starts and steps, never too few to tell."""
        if profile == "standard":
            return self
        seeds, trial, total = AMOUNTS[profile]
        return replace(self, seeds=seeds, trial=trial, total=total)

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes where every optimizer races, and none is lost."""
        if not batches.get("train"):
            return Cost()
        racers = 1 + RIVALS
        trained = (1 + racers * RATES) * self.trial + self.total
        return Cost(trained + (1 + racers) * self.seeds * self.held, trained)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches of the longest run, where two race, and those held."""
        longest = min(self.steps, self.total // (2 * self.seeds))
        return {"train": longest + self.held}
