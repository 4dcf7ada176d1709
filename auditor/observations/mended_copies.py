"""Fresh copies as they are and mended, trained alike: what the mending gains."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.figure import Bars
from auditor.core.finding import Limit, Metric
from auditor.core.request import Cost, Split
from auditor.core.statistics import mean_interval, paired_ratio
from auditor.core.text import counted, percent
from auditor.core.values import Array, Number
from auditor.core.verdict import Verdict

SCORED = 8
"""Validation batches that copies are scored on."""

RATES = (2e-3, 1e-2)
"""Rates of Adam at which copies are trained; the one that fits the training data better counts."""

SURE = 0.99
"""Confidence with which mended copies must do better."""

GAIN = Limit(
    warn=0.25,
    fail=0.5,
    source="share of the error of copies that goes away; healthy small models differ by a tenth "
    "from seed to seed, and half is what no one would give up",
)

NEGLIGIBLE = 0.05
"""Nats that no one misses: a share of next to nothing is next to nothing."""

RARE = 0.1
"""Share of a constant answer's cross-entropy that no one misses where it is less than that: rare
events and few pixels cost little to leave out."""

MEASURED = (", copies as they are", ", mended copies", "gain by mending")
"""How the names of the three metrics end: before, after, and the change."""


@dataclass(frozen=True)
class MendedCopies:
    """Scores [seeds, examples] by `metric` of copies after so many steps, as they are and mended.

    There are none where nothing was tried, `why` saying why not. `constant` is the mean
    cross-entropy of the best constant on the same examples, in nats; NaN where that is not known.
    """

    metric: str
    steps: int
    as_it_is: Array
    mended: Array
    why: str = ""
    constant: Number = math.nan

    @property
    def tried(self) -> bool:
        """Tell whether there is anything to compare."""
        return bool(np.size(self.as_it_is))

    def gain(self, how: str, limit: Limit) -> tuple[Verdict, tuple[Metric, ...], str]:
        """Return the verdict on the share of the error that goes away, in numbers and in words."""
        old, new = self._errors(self.as_it_is), self._errors(self.mended)
        before, after = float(np.mean(self.as_it_is)), float(np.mean(self.mended))
        runs = f"of copies after {counted(self.steps, 'step')}"
        told = f"{self.metric} {runs} goes from {before:.3g} to {after:.3g} {how}"
        told = told[0].upper() + told[1:]
        level = float(old.mean())
        if not np.isfinite(new).all() or not np.isfinite(old).all() or not level > 0:
            return Verdict.INFO, (), f"{told}: this can't be compared."
        low, high = _share(old, new, 0.95)
        sure, _ = _share(old, new, SURE)
        value = float((old - new).mean()) / level
        better = bool((new.mean(axis=1) < old.mean(axis=1)).all()) and sure > 0
        metrics = (
            Metric(self.metric + MEASURED[0], before),
            Metric(self.metric + MEASURED[1], after),
            Metric(MEASURED[2], value, "of the error", low, high, limit),
        )
        span = f"{percent(low)} to {percent(high)} %"
        told += f" (95 % interval of the error that goes away: {span})."
        verdict = Verdict.INFO
        missed = NEGLIGIBLE
        if math.isfinite(self.constant):
            missed = min(NEGLIGIBLE, RARE * self.constant)
        slight = self.metric == "cross-entropy" and before - after < missed
        if better and not slight and limit.warn is not None and value > limit.warn:
            sunk = limit.fail is not None and sure > limit.fail
            verdict = Verdict.FAIL if sunk else Verdict.WARN
        elif value <= 0 or not better:
            told += " So no harm that is certain shows so soon on this data."
        elif slight:
            told += f" Less than {missed:.2g} nats are no harm."
        return verdict, metrics, told

    def figure(self, how: str) -> Bars:
        """Return both scores with their intervals over the examples."""
        rows = [np.asarray(t, float).mean(axis=0) for t in (self.as_it_is, self.mended)]
        spans = [mean_interval(row) for row in rows]
        return Bars(
            title="Copies as they are and mended",
            caption=f"{self.metric.capitalize()} on validation data after "
            f"{counted(self.steps, 'step')} of Adam, with its 95 % interval over the examples; "
            f"mean of {counted(len(self.mended), 'seed')}.",
            label=self.metric,
            labels=("as they are", how),
            values=tuple(float(row.mean()) for row in rows),
            low=tuple(low for low, _ in spans),
            high=tuple(high for _, high in spans),
        )

    def _errors(self, scores: Array) -> Array:
        table = np.asarray(scores, float)
        return 1 - table if self.metric == "accuracy" else table


NOTHING = MendedCopies("", 0, np.zeros((0, 0)), np.zeros((0, 0)))


def _share(old: Array, new: Array, confidence: float) -> tuple[float, float]:
    low, high = paired_ratio(new.mean(axis=0), old.mean(axis=0), confidence)
    return 1 - high, 1 - low


def runs_of(seeds: int) -> int:
    """Return how many copies are trained."""
    return 2 * seeds * len(RATES)


def cost_of(steps: int, seeds: int, batches: dict[Split, int]) -> Cost:
    """Return the passes at most."""
    if not batches.get("train"):
        return Cost()
    runs = runs_of(seeds)
    return Cost(runs * (steps + min(SCORED, batches.get("val", 0))), runs * steps)
