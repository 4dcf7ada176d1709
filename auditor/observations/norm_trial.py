"""What running statistics computed anew, and without dropout, do to the model's score."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from auditor.core.finding import Limit, Metric
from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.statistics import geometric_interval, paired_bootstraps
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.batch_norm import BatchNormLayer

Arm = Literal["as it is", "computed anew", "without dropout", "on the batch"]

ARMS: tuple[Arm, ...] = ("as it is", "computed anew", "without dropout", "on the batch")

SURE = 0.995
"""Confidence of an interval that decides: 99 % for the two measures together."""

READ = 64
"""Batches of each split that examples are drawn from at most."""

PIECES = 32
"""Batches of the training's size that the last arm is scored on at most."""


NOTICED = 0.05
"""Nats of cross-entropy from which a change is worth a warning."""


@dataclass(frozen=True)
class Gain:
    """How much better one arm does than another by a measure, with its intervals.

    Of accuracy it is in points, of anything else the share of the mean that goes away; positive is
    better. `before` and `after` are the means of the measure.
    """

    measure: str
    before: float
    after: float
    value: float
    low: float
    high: float
    sure_low: float
    sure_high: float

    def verdict(self, limit: Limit) -> Verdict:
        """Judge a gain: it must be there beyond doubt, and worth the while."""
        if limit.fail is not None and self.sure_low > limit.fail:
            return Verdict.FAIL
        worth = limit.warn is not None and self.value > limit.warn
        return Verdict.WARN if worth and self.sure_low > 0 else Verdict.PASS

    def nothing(self, limit: Limit) -> bool:
        """Tell whether there is no gain or loss worth the while beyond doubt."""
        worth = math.inf if limit.warn is None else limit.warn
        return self.sure_high < worth and self.sure_low > -worth

    def metric(self, name: str, limit: Limit) -> Metric:
        """Return the gain as a metric, with its 95 % interval where there is one."""
        unit = "of all examples" if self.measure == "accuracy" else f"of the {self.measure}"
        known = math.isfinite(self.low) and math.isfinite(self.high)
        low, high = (self.low, self.high) if known else (None, None)
        return Metric(name, self.value, unit, low, high, limit)

    @property
    def shown(self) -> str:
        """Return "accuracy 0.31 to 0.97"."""
        return f"{self.measure} {self.before:.3g} to {self.after:.3g}"


@dataclass(frozen=True)
class NormTrial:
    """A copy scored on the same examples with its running statistics in several ways.

    `scores` [arms, rows] are by `measure`, of each example, or of each batch where no metric
    applies; `entropies` [arms, rows] its cross-entropy, without columns where it has none. The arms
    are those of `ARMS`: the checkpoint; its statistics computed anew by passes in training mode
    over `examples` examples of `split`; the same with dropout off, where there is any; and on the
    statistics of each batch of `size` examples, with dropout off. A row of NaN was not scored.
    There are no rows where no loss is known.

    `given` is what each layer is given, in the order of execution, while they are computed anew.
    `shift` [batches, layers] is the median over channels of the ratio of its variance in training
    to that in evaluation mode with those statistics; without rows where nothing `drops`.
    """

    measure: str
    higher: bool
    scores: Array
    entropies: Array
    given: tuple[BatchNormLayer, ...]
    shift: Array
    drops: bool
    examples: int
    size: int
    split: str
    note: str = ""

    def gains(self, before: Arm, after: Arm, rng: np.random.Generator) -> tuple[Gain, ...]:
        """Return the gain from one arm to another by each measure, over rows that both have."""
        found = []
        for measure, higher, table in (
            (self.measure, self.higher, self.scores),
            ("cross-entropy", False, self.entropies),
        ):
            rows = np.asarray(table, float)
            if rows.ndim < 2 or rows.shape[1] < 2:
                continue
            one, two = rows[ARMS.index(before)], rows[ARMS.index(after)]
            both = np.isfinite(one) & np.isfinite(two)
            if both.sum() < 2:
                continue
            one, two = one[both], two[both]
            scale = 1.0 if higher else max(float(np.abs(one).mean()), 1e-300)
            better, worse = (two, one) if higher else (one, two)
            spans = paired_bootstraps(better, worse, rng, (0.95, SURE))
            value = float((better - worse).mean()) / scale
            (low, high), (sure_low, sure_high) = ((a / scale, b / scale) for a, b in spans)
            found.append(
                Gain(
                    measure,
                    float(one.mean()),
                    float(two.mean()),
                    value,
                    min(low, value),
                    max(high, value),
                    min(sure_low, value),
                    max(sure_high, value),
                )
            )
        return tuple(found)

    def shifts(self, confidence: float = 0.95) -> tuple[tuple[float, float, float], ...]:
        """Return each layer's ratio of variances with its interval, over batches."""
        return tuple(geometric_interval(column, confidence) for column in np.asarray(self.shift).T)


def limit_on(gain: Gain, limits: Mapping[str, Limit]) -> Limit:
    """Return the limit on a gain, by its measure.

    Cross-entropy alone never fails, and below a twentieth of a nat, which is what the probability
    of the right class changes by, it does not warn: of a small loss any change is a large share.
    """
    if gain.measure == "accuracy":
        return limits["accuracy_gain"]
    limit = limits["error_gain"]
    if gain.measure != "cross-entropy":
        return limit
    noticed = abs(gain.after - gain.before) > NOTICED
    return replace(limit, warn=limit.warn if noticed else None, fail=None)


@dataclass(frozen=True)
class NormTrialOver(Request[NormTrial]):
    """Asks what computing running statistics anew does, and what dropout before them does.

    Where batches of the training's size are smaller than the others, those of the last arm are
    counted as passes all the same.
    """

    batches: int = 20
    scored: int = 8
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = NormTrial
    depth: ClassVar = Depth.FORWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "batch_norm", "val"})
    scaled: ClassVar = ("batches", "scored")
    at_most: ClassVar = True

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches that examples are drawn from."""
        return {split: min(READ, batches.get(split, 0)) for split in {self._source, "val"}}

    @property
    def _source(self) -> Split:
        return "train" if self.split == "train" else "val"

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return two passes that compute statistics and one that compares, and the scoring."""
        anew = min(self.batches, batches.get(self._source, 0))
        scored = min(self.scored, batches.get("val", 0))
        return Cost(3 * (anew + scored) + PIECES)
