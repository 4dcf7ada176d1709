"""What remedies do when they are tried on copies."""

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array

SCORED = 8
"""Validation batches that copies are scored on."""

KEPT = -1.0
"""A setting that stays as it is declared."""


@dataclass(frozen=True)
class Tried:
    """How copies score that were treated in one way, or not at all.

    `scores` [runs, examples] are by `measure`, of which `higher` tells whether more is better; of a
    task without a metric they are losses, [runs, batches]. `runs` differ by seed. `what` says what
    was scored, for the middle of a sentence.
    """

    measure: str
    higher: bool
    what: str
    scores: Array


@dataclass(frozen=True)
class TreatmentOver(Request[Tried]):
    """Asks how copies score that are treated: by one remedy, by several, or, blank, by none.

    A copy for each seed is trained for `steps` from the `start`. Treatments with equal `start`,
    `steps` and `seeds` begin at the same weights and see the same batches, so that their scores can
    be compared in pairs. A remedy is: inputs `rescaled`, or targets `retargeted`, to mean 0 and
    deviation 1; another learning `rate`, or so many `times` the declared one; another norm to clip
    gradients at, or weight decay; dropout left out; the parameters `anew` (names, separated by
    commas), or all of them with `reset`, initialised soundly; a loss given what goes into the last
    activation (`bare`); `shortcuts` around the layers that keep the shape of what they are given; a
    `setting` of the optimizer, as "momentum=0.9"; so many batches `merged` into one, of which
    `steps` are seen all the same; batch norm's statistics computed anew from `steps` batches,
    without a step of training (`statistics`). With no `steps` the copy is scored as it is.
    """

    start: Literal["fresh", "checkpoint"] = "fresh"
    rescaled: bool = False
    retargeted: bool = False
    rate: float = KEPT
    times: float = 1.0
    clip_norm: float = KEPT
    weight_decay: float = KEPT
    no_dropout: bool = False
    anew: str = ""
    reset: bool = False
    bare: bool = False
    shortcuts: bool = False
    setting: str = ""
    merged: int = 1
    statistics: bool = False
    steps: int = 60
    seeds: int = 3

    answer: ClassVar = Tried
    depth: ClassVar = Depth.BACKWARD
    at_most: ClassVar = True

    @property
    def controls(self) -> tuple["TreatmentOver", ...]:
        """Return what this is to be compared with: copies as they are, and those of equal rate.

        A rate of its own that comes with another remedy must not get the credit for it, nor take
        it.
        """
        if self.statistics or self == self.blank:
            return (TreatmentOver(start="checkpoint", steps=0, seeds=1),)
        paced = replace(self.blank, times=self.times, rate=self.rate)
        return (self.blank,) if paced in (self, self.blank) else (self.blank, paced)

    @property
    def blank(self) -> "TreatmentOver":
        """Return the same training without any remedy."""
        return TreatmentOver(start=self.start, steps=self.steps, seeds=self.seeds)

    @property
    def paced(self) -> bool:
        """Tell whether copies are trained at another rate than the declared one."""
        return self.rate != KEPT or self.times != 1.0

    @property
    def key(self) -> str:
        """Return the name of this trial: where copies start, and what differs from the plain."""
        told = [
            f"{field.name}={value!r}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default or field.name == "start"
        ]
        return f"{type(self).__name__}({', '.join(told)})"

    def needed(self) -> frozenset[Capability]:
        """Return what the subject must have for this treatment."""
        needs: set[Capability] = {"model", "loss", "val"}
        if self.steps:
            needs.add("train")
        if self.statistics:
            needs.add("batch_norm")
        if self.start == "fresh":
            needs.add("factory")
        return frozenset(needs)

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes of a copy for each seed."""
        scored = self.seeds * min(SCORED, batches.get("val", 0))
        if self.statistics:
            return Cost(scored + self.looked_at(batches)["train"])
        looked = 1 if self.rescaled else 0
        steps = self.steps * self.seeds
        return Cost(steps + scored + looked, steps)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches of a training run, and those that copies are scored on."""
        train = min(self.steps, batches.get("train", 0)) if self.statistics else self.steps
        return {"train": train, "val": min(SCORED, batches.get("val", 0))}

    def together(self, other: "TreatmentOver") -> "TreatmentOver":
        """Return both treatments as one, from fresh models where one of them needs those.

        The rate is this one's: the right one depends on what else is mended.
        """
        names = [name for part in (self.anew, other.anew) for name in part.split(",") if name]
        return replace(
            self,
            start="checkpoint" if self.start == other.start == "checkpoint" else "fresh",
            rescaled=self.rescaled or other.rescaled,
            retargeted=self.retargeted or other.retargeted,
            clip_norm=max(self.clip_norm, other.clip_norm),
            weight_decay=max(self.weight_decay, other.weight_decay),
            no_dropout=self.no_dropout or other.no_dropout,
            anew=",".join(dict.fromkeys(names)),
            reset=self.reset or other.reset,
            bare=self.bare or other.bare,
            shortcuts=self.shortcuts or other.shortcuts,
            setting=self.setting or other.setting,
            steps=max(self.steps, other.steps),
            seeds=max(self.seeds, other.seeds),
        )
