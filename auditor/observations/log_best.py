"""The best place of a run by its validation loss, and what became of it."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.core.values import Array
from auditor.observations.log_course import (
    fallen,
    first_level,
    level,
    noise_of,
    reach,
    running_median,
    slope,
)
from auditor.observations.training_log import LoggedSeries, TrainingLog

NEEDED = 8
"""Readings of validation of which a best one can be told."""
SINCE = 6
"""Readings since the best of which a rise can be told: through fewer no line rises with 99 %."""
SHARE = 0.25
"""Share of the first level that counts as gained at least."""
SCORES = ("acc", "accuracy", "f1", "auc", "auroc", "iou", "miou", "map", "ap", "bleu", "rouge",
          "r2", "dice", "precision", "recall", "top1", "top5", "score")  # fmt: skip
"""Metrics of which more is better, by words of their names."""

ALIKE = 0.05
"""Share of what was lost since the best that a measured loss may be off the one it is taken for."""

Standing = Literal["best", "before", "last", "between", ""]


@dataclass(frozen=True)
class Best:
    """The best reading, at `x`, and `end`, the level of the last ones, `since` readings later.

    `share` is what was lost of what had been gained, `low` its bound with 99 % confidence,
    `interval` that of 95 %. It `diverges` where the training loss rose since as well. `kept` names
    a score that has not fallen. `standing` tells where the audited checkpoint was saved, empty
    where that is not known; it is `measured` where the loss of the checkpoint itself tells.
    """

    x: float
    value: float
    end: float
    last: float
    since: int
    share: float
    low: float
    interval: tuple[float, float]
    diverges: bool
    kept: str
    standing: Standing
    measured: bool


def best_of(log: TrainingLog, measured: float = math.nan) -> Best | None:
    """Return the best place of a run, None where validation was told too seldom.

    `measured` is the validation loss of the audited checkpoint, NaN where that is not known.
    """
    val = log.named("val_loss")
    if val is None or len(val.finite.x) < NEEDED:
        return None
    x, y = np.asarray(val.finite.x, float), np.asarray(val.finite.values, float)
    window = 3 if len(y) < 20 else 5
    smooth = running_median(y, window)
    middle = int(np.argmin(smooth))
    near = slice(max(0, middle - window // 2), middle + window // 2 + 1)
    at = near.start + int(np.argmin(y[near]))
    since = len(y) - 1 - at
    few = min(len(y), max(3, since // 4))
    end, bottom = level(y[-few:]), float(smooth[middle])
    noise = noise_of(y)
    error = math.hypot(noise.of_level(few), noise.of_level(window))
    # The lowest of many medians is low by luck too: by about σ √(2 ln n).
    luck = noise.of_level(window) * math.sqrt(2 * math.log(max(len(y) / window, 1.0)))
    first = first_level(log)
    gained = max(first - bottom, SHARE * abs(first))
    lost = end - bottom
    if not gained > 0:
        gained = math.inf
    alike = _alike(measured, float(y[at]), float(y[-1]))
    bounds = (lost - luck - reach(1, 0.95) * error, lost + reach(1, 0.95) * error)
    return Best(
        x=float(x[at]),
        value=float(y[at]),
        end=end,
        last=float(x[-1]),
        since=since,
        share=max(lost, 0.0) / gained,
        low=(lost - luck - reach() * error) / gained,
        interval=(min(bounds[0], max(lost, 0.0)) / gained, max(bounds[1], 0.0) / gained),
        diverges=_rises(log.named("train_loss"), float(x[at])),
        kept=_kept(log, float(x[at])),
        standing=alike or _standing(log, x, at),
        measured=bool(alike),
    )


def _rises(train: LoggedSeries | None, since: float) -> bool:
    """Tell whether the training loss ends above its level at a place of the run, for sure."""
    if train is None:
        return False
    x, y = np.asarray(train.finite.x, float), np.asarray(train.finite.values, float)
    few = max(3, len(y) // 20)
    before, after = y[x <= since][-few:], y[x > since]
    if len(before) < 3 or len(after) < SINCE:
        return False
    return fallen(after[-max(few, len(after) // 4) :], before, noise_of(y)).low(reach()) > 0


def _kept(log: TrainingLog, since: float) -> str:
    """Return a score of validation that has not fallen since a place, empty where there is none."""
    for one in log.series:
        words = one.name.removeprefix("val_").split("_")
        if one.name.startswith("val_") and set(words) & set(SCORES):
            x, y = _from(one, since)
            if len(x) < SINCE or slope(*_few(x, y))[2] >= 0:
                return one.column
    return ""


def _from(series: LoggedSeries | None, since: float) -> tuple[Array, Array]:
    if series is None:
        return np.zeros(0), np.zeros(0)
    x, y = np.asarray(series.finite.x, float), np.asarray(series.finite.values, float)
    return x[x >= since], y[x >= since]


def _few(x: Array, y: Array, most: int = 60) -> tuple[Array, Array]:
    """Return a dense curve as medians of stretches."""
    each = max(1, len(x) // most)
    count = len(x) // each
    parts = (np.asarray(a)[: count * each].reshape(count, each) for a in (x, y))
    middle, values = (np.median(part, axis=1) for part in parts)
    return middle, values


def _alike(measured: float, best: float, end: float) -> Standing:
    """Tell whether a measured loss is that of the best place or that of the end, and no other."""
    near = ALIKE * (end - best)
    if abs(measured - best) <= near:
        return "best"
    return "last" if abs(measured - end) <= near else ""


def _standing(log: TrainingLog, x: Array, best: int) -> Standing:
    """Tell at which of the readings `x` the audited checkpoint was saved; the nearest counts."""
    saved = float(log.saved_at)
    if math.isnan(saved):
        return ""
    gap = float(np.median(np.diff(x)))
    nearest = int(np.argmin(np.abs(x - saved)))
    if abs(float(x[nearest]) - saved) > gap and saved < float(x[0]):
        return "before"
    if nearest == best:
        return "best"
    if nearest == len(x) - 1 or saved > float(x[-1]):
        return "last"
    return "between" if saved > float(x[best]) else "before"
