"""What learning rates do: a range test, and a short race of copies at two of them."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import mean_interval
from auditor.core.values import Array, Number

RANGE = {"fresh": 13, "checkpoint": 8}
"""Steps of a range test: from a checkpoint only its end is looked for."""
RACE = {"fresh": 7, "checkpoint": 10}
"""Steps of a race."""
PROBES = {"fresh": 3, "checkpoint": 4}
"""Training batches that were not trained on, by which a race is decided."""
ARMS = {"fresh": 3, "checkpoint": 2}
"""Rates that are raced at most."""
SCAN = 6
"""Lengths of a first step that are tried to find where the range lies."""
SURE = 0.99
PAIRS = 8
"""Pairs of which all have to agree for the sign test: 2 / 2^8 is below 1 %."""

Start = Literal["fresh", "checkpoint"]
Stop = Literal["loss", "not finite", "end"]
Kind = Literal["declared", "recommended", "tenth", "ramp"]


@dataclass(frozen=True)
class RateRange:
    """Copies trained while the rate grows from step to step.

    `rates` [points] grow evenly in their logarithm; `losses` [seeds, points] were measured after
    the step at each, on the next batch, NaN from where a run stopped; `before` [seeds] before the
    first. What each batch costs before any step is taken off and its mean put on, so that batches
    hardly differ. `stopped` says for each run why it stopped: its loss was beyond four
    times its best, no longer finite, or the range was through.
    """

    rates: Array
    losses: Array
    before: Array
    stopped: tuple[Stop, ...]

    @property
    def smooth(self) -> Array:
        """Return the mean over runs, over three neighbours each, [points]; infinite once lost."""
        table = np.where(np.isfinite(self.losses), self.losses, np.inf)
        mean = table.mean(axis=0) if table.size else np.zeros(0)
        padded = np.concatenate([mean[:1], mean, mean[-1:]])
        with np.errstate(invalid="ignore"):
            return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3)

    @property
    def edge(self) -> float:
        """Return the rate at which the loss is least, before it grows; NaN where it always does."""
        curve = self.smooth
        if not np.isfinite(curve).any():
            return math.nan
        level = float(np.mean(self.before))
        least = float(np.min(curve))
        if least < level - self.noise:
            return float(self.rates[int(np.argmin(curve))])
        # It never falls, as at a minimum: the last rate that does no harm.
        harmless = np.flatnonzero(curve <= level + self.noise)
        return float(self.rates[int(harmless[-1])]) if harmless.size else math.nan

    @property
    def noise(self) -> float:
        """Return by how much the smoothed curve may differ from another by chance."""
        table = np.asarray(self.losses, float)
        if len(table) < 2:
            return 0.02 * abs(float(np.mean(self.before)))
        first = table[:, : max(2, table.shape[1] // 3)] - np.asarray(self.before)[:, None]
        spread = float(np.nanstd(first)) if np.isfinite(first).any() else 0.0
        return max(2 * spread / math.sqrt(len(table)), 0.01 * abs(float(np.mean(self.before))))

    @property
    def falls(self) -> bool:
        """Tell whether the loss falls at any rate by more than chance."""
        curve = self.smooth
        least = float(np.min(curve)) if curve.size else math.nan
        return least < float(np.mean(self.before)) - self.noise


@dataclass(frozen=True)
class Arm:
    """Copies trained at one rate: `losses` [seeds, steps] of each batch before its step, NaN once
    lost and freed of what batches differ by as in the range test, and `probes` [seeds, batches]
    after the last step, dropout off.

    A `ramp` grows evenly to `rate` over the first half of its steps.
    """

    kind: Kind
    rate: Number
    losses: Array
    probes: Array

    @property
    def lost(self) -> int:
        """Return how many runs lost their loss (not finite)."""
        rows = np.asarray(self.probes, float)
        return int((~np.isfinite(rows)).any(axis=1).sum())


@dataclass(frozen=True)
class Gain:
    """How much lower one arm ends than another, in units of the loss; `sure` bounds at 99 %.

    `agree` tells whether every run says the same. `alike` is 1 where each single pair is lower, -1
    where each is higher, else 0: of eight pairs or more that has a chance below 1 % (the sign test,
    Dixon & Mood 1946), however far some of them lie out.
    """

    value: float
    low: float
    high: float
    sure_low: float
    sure_high: float
    agree: bool
    alike: int

    @property
    def sure(self) -> bool:
        """Tell whether one arm surely ends lower."""
        return self.agree and (self.sure_low > 0 or self.alike > 0)

    @property
    def loss(self) -> bool:
        """Tell whether it surely ends higher."""
        return self.agree and (self.sure_high < 0 or self.alike < 0)


@dataclass(frozen=True)
class RateTrials:
    """A range test and a race from one start, with `optimizer` at the `declared` rate.

    `instead` says why the optimizer is not the declared one; there is no race then, and `declared`
    is NaN. `scale` is what the rates of other parameter groups are multiples of: one where there is
    one group. `adaptive` optimizers divide each gradient by its size; `momentum` is the other
    kind's. `before` [seeds, batches] are the probes' losses before any step. `restored` tells
    whether the saved moments were used.
    """

    start: Start
    optimizer: str
    declared: Number
    instead: str
    groups: int
    adaptive: bool
    momentum: Number
    restored: bool
    range: RateRange
    before: Array
    arms: tuple[Arm, ...]
    steps: int
    note: str = ""

    def arm(self, kind: Kind) -> Arm | None:
        """Return the copies of a kind, None where there are none."""
        return next((arm for arm in self.arms if arm.kind == kind), None)

    @property
    def level(self) -> float:
        """Return the mean loss before any step."""
        return float(np.mean(self.before)) if np.size(self.before) else math.nan

    def gain(self, arm: Arm, over: Arm | None = None) -> Gain | None:
        """Return how much lower `arm` ends than another, or than it began; None where lost."""
        ours = np.asarray(arm.probes, float)
        theirs = np.asarray(self.before if over is None else over.probes, float)
        if ours.shape != theirs.shape or not ours.size:
            return None
        if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            return None
        differences = theirs - ours
        signs = np.sign(differences.mean(axis=1))
        value = float(differences.mean())
        return Gain(
            value,
            *mean_interval(differences),
            *mean_interval(differences, SURE),
            bool((signs == signs[0]).all()),
            int(np.sign(differences).mean()) if differences.size >= PAIRS else 0,
        )


@dataclass(frozen=True)
class RateTrialsOver(Request[RateTrials]):
    """Asks for a range test from a start, and a race where a rate is declared.

    Further arms of the race answer what the first leaves open: far from the range's best the
    recommended rate; else, from a checkpoint, a tenth of the declared one, and from fresh weights
    a ramp to it where the loss jumps, and the recommended rate where the ramp does not help.
    """

    start: Start = "fresh"
    seeds: int = 3

    answer: ClassVar = RateTrials
    depth: ClassVar = Depth.BACKWARD
    scaled: ClassVar = ("seeds",)
    at_most: ClassVar = True

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have; a factory only where the start is fresh."""
        always: frozenset[Capability] = frozenset({"model", "loss", "train"})
        return always | {"factory"} if self.start == "fresh" else always

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of the scan, the range test and all arms of the race."""
        if not batches.get("train"):
            return Cost()
        grown, probes, arms = (kind[self.start] for kind in (RANGE, PROBES, ARMS))
        alone = max(grown, RACE[self.start]) + probes
        alone *= self.seeds if self.start == "fresh" else 1
        steps = self.seeds * (grown + arms * RACE[self.start])
        return Cost(1 + SCAN + alone + steps + arms * self.seeds * probes, 1 + steps)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches of the longest run, and those that it is judged by."""
        return {"train": RACE[self.start] + PROBES[self.start] if batches.get("train") else 0}
