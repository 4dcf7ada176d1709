"""Spikes of the gradient's norm in a log, and what the loss did after them."""

from dataclasses import dataclass

import numpy as np

from auditor.core.values import Array
from auditor.observations.log_course import first_level, level, noise_of, running_median
from auditor.observations.training_log import TrainingLog

NEEDED = 50
"""Readings of which ten neighbours on each side can be taken, after the first ones are left out."""
TIMES = 10.0
"""Times its neighbours from which on a norm is a spike."""
DEVIATIONS = 6.0
"""Robust deviations of its neighbours' logarithms that it has to be above them as well."""
BEGINNING = 0.05
"""Share of the run that is left out: norms come down from those of fresh weights."""
WINDOW = 51
HARM = 4.0
"""Deviations of the loss's scatter that it has to be up by after a spike."""
HARM_SHARE = 0.1
"""Share of what training gained that it has to be up by as well."""
AFTER = 8
"""Readings of the loss before and after a spike whose levels are compared."""


@dataclass(frozen=True)
class Spikes:
    """Spikes at the places `x`, each so many `times` its neighbours; those `harmed` the loss.

    Of all `readings` so many were `lost`: NaN or infinite. `usual` is the median norm.
    """

    x: tuple[float, ...]
    times: tuple[float, ...]
    harmed: tuple[int, ...]
    readings: int
    lost: int
    usual: float


def spikes_of(log: TrainingLog) -> Spikes | None:
    """Return the spikes of the gradient's norm, None where it was told too seldom."""
    norm = log.named("grad_norm")
    if norm is None or len(norm.x) < NEEDED:
        return None
    values = np.asarray(norm.values, float)
    known = np.isfinite(values) & (values > 0)
    readings, lost = len(values), int((~np.isfinite(values)).sum())
    x, y = np.asarray(norm.x, float)[known], values[known]
    if len(y) < NEEDED // 2:
        return Spikes((), (), (), readings, lost, float(np.median(y)) if len(y) else 0.0)
    logs = np.log(y)
    window = min(WINDOW, len(logs) // 3 | 1)
    usual = running_median(logs, window)
    scatter = 1.4826 * running_median(np.abs(logs - usual), window)
    above = logs - usual
    high = (above >= np.log(TIMES)) & (above >= DEVIATIONS * scatter)
    high[: max(5, int(BEGINNING * len(logs)))] = False
    tops = _tops(above, np.flatnonzero(high))
    harmed = tuple(i for i, place in enumerate(tops) if _harmed(log, float(x[place])))
    return Spikes(
        tuple(float(x[place]) for place in tops),
        tuple(float(np.exp(above[place])) for place in tops),
        harmed,
        readings,
        lost,
        float(np.median(y)),
    )


def _tops(above: Array, places: Array) -> list[int]:
    """Return the highest of each group of places that lie side by side, with one between."""
    if not len(places):
        return []
    groups = np.split(places, np.flatnonzero(np.diff(places) > 2) + 1)
    return [int(group[np.argmax(above[group])]) for group in groups]


def _harmed(log: TrainingLog, at: float) -> bool:
    """Tell whether the level of the training loss is up after a place of the run."""
    train = log.named("train_loss")
    if train is None:
        return False
    x, y = np.asarray(train.finite.x, float), np.asarray(train.finite.values, float)
    # The loss of the very step is that of the batch whose gradient spiked, before the update.
    before, after = y[x < at][-AFTER:], y[x > at][:AFTER]
    if len(before) < AFTER or len(after) < AFTER // 2:
        return False
    up = level(after) - level(before)
    noise = noise_of(y[(x < at)][-5 * AFTER :])
    gained = max(first_level(log) - float(np.quantile(y, 0.1)), 0.0)
    error = np.hypot(noise.of_level(len(before)), noise.of_level(len(after)))
    return bool(up > HARM * error and up > HARM_SHARE * gained)
