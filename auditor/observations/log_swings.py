"""How far a logged loss swings in the second half of a run, against what the run gained."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.values import Array
from auditor.observations.log_course import (
    condensed,
    first_level,
    level,
    middle,
    noise_of,
    per_epoch,
    swings,
    too_few,
)
from auditor.observations.log_figures import NAMES
from auditor.observations.training_log import TrainingLog

NEEDED = 24
"""Readings whose second half has ten swings where it does nothing but swing; of fewer than nine the
middle has no 99 % interval."""
DENSE = 25
"""Readings of single batches that one stretch has at least, so that their scatter is a fifth."""
CLEAR = 4.0
"""Times the scatter that batches explain from which on a swing is the model's own."""
SHARE = 0.25
"""Share of the first level that counts as gained at least."""


@dataclass(frozen=True)
class Swinging:
    """The swings of the loss `of` the second half: the `typical` one, and its share of the gain.

    `low` is the lower bound of the share with 99 % confidence, `interval` that of 95 %.
    """

    of: str
    typical: float
    turns: int
    share: float
    low: float
    interval: tuple[float, float]
    begins: float
    ends: float


def swinging(log: TrainingLog) -> Swinging | str:
    """Return the swings of a run, or why they can't be judged."""
    picked = _picked(log)
    if isinstance(picked, str):
        return picked
    name, x, y, scatter = picked
    half = len(y) // 2
    sizes = swings(y[half:])
    quarters = [level(part) for part in np.array_split(y, 4)]
    first, lowest = first_level(log), min(quarters)
    gained = max(first - lowest, SHARE * abs(first), quarters[-1] - lowest)
    typical, least, _ = middle(sizes)
    _, low, high = middle(sizes, 0.95)
    typical = typical if len(sizes) else 0.0
    scale = gained if gained > 0 and typical else math.inf
    sure = least / scale if typical > CLEAR * scatter else 0.0
    ends = float(x[half]), float(x[-1])
    interval = (max(low, 0.0) / scale, high / scale if typical else 0.0)
    return Swinging(name, typical, len(sizes), typical / scale, max(sure, 0.0), interval, *ends)


def _picked(log: TrainingLog) -> tuple[str, Array, Array, float] | str:
    """Return the curve to judge, its name, and the scatter of its points that batches explain."""
    val, train = log.named("val_loss"), log.named("train_loss")
    if val is not None and len(val.finite.x) >= NEEDED:
        return NAMES["val_loss"], val.finite.x, val.finite.values, 0.0
    if train is None or len(train.finite.x) < NEEDED:
        return too_few(log, NEEDED, "val_loss", "train_loss")
    if per_epoch(log, train):
        return NAMES["train_loss"], train.finite.x, train.finite.values, 0.0
    x, y, each = condensed(train)
    if each < DENSE:
        return (
            f"The log {log.source} has {len(train.finite.x):,} training losses of single batches "
            "and too few of validation: swings of the model can't be told from the batches' "
            f"scatter. It takes {NEEDED} readings of the validation loss, or one training loss an "
            "epoch."
        )
    return NAMES["train_loss"], x, y, noise_of(train.finite.values).of_level(each)
