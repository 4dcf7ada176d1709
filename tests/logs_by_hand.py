"""Logs of training written by hand, for checks that judge them."""

import math
from typing import Any

import numpy as np

from auditor.core.request import Unavailable
from auditor.observations.schedule import Schedule, ScheduleOf
from auditor.observations.training_log import AxisUnit, LoggedSeries, TrainingLog, TrainingLogOf

UNKNOWN = Unavailable("nothing is known of it")


def log(
    unit: AxisUnit = "epochs", saved_at: float = math.nan, saved_by: str = "", **series: Any
) -> TrainingLog:
    """Return a log of series by canonical name: values, or places and values."""
    made = []
    for name, given in series.items():
        x, y = given if isinstance(given, tuple) else (np.arange(1.0, len(given) + 1), given)
        x, y = np.asarray(x, float), np.asarray(y, float)
        epochs = x if unit == "epochs" else np.full(len(x), math.nan)
        made.append(LoggedSeries(name, name, x, y, epochs))
    return TrainingLog("metrics.csv", "CSV", unit, tuple(made), tuple(series), (), saved_at,
                       saved_by)  # fmt: skip


def seen(held: TrainingLog, schedule: Schedule | Unavailable = UNKNOWN) -> dict[Any, Any]:
    return {TrainingLogOf(): held, ScheduleOf(): schedule}


def schedule(name: str, x: Any = (), rates: Any = (), taken: float | None = None) -> Schedule:
    nothing = np.zeros(0)
    return Schedule(name, "the spec", {}, taken, None, "epochs", np.asarray(x, float),
                    np.asarray(rates, float), math.nan, math.nan, nothing, nothing)  # fmt: skip


def noise(count: int, size: float, seed: int = 0) -> Any:
    return size * np.random.default_rng(seed).standard_normal(count)


def decay(count: int, times: float = 5.0, top: float = 2.3) -> Any:
    """Return a loss that comes down by so many time constants."""
    return top * np.exp(-times * np.arange(count) / count)
