"""At which place of its run a checkpoint was saved, and whether a log is of that run at all."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from auditor.core.text import clean_text
from auditor.intake.training_logs.shape import first_place, last_place
from auditor.observations.training_log import TrainingLog

STEPS = ("global_step", "iteration", "iter_num", "num_updates", "step", "global_steps", "iter")
EPOCHS = ("epoch", "current_epoch")

BEYOND = 1.1
"""Times the length of a log that a checkpoint of its run may be from its beginning."""

_STEP = re.compile(r"(?:step|iter|iteration|checkpoint)[=_-]?(\d{1,12})(?!\d)", re.IGNORECASE)
_EPOCH = re.compile(r"(?:epoch|ep)[=_-]?(\d{1,9})(?!\d)", re.IGNORECASE)
_BEST = re.compile(r"(?:^|[^a-z])best(?:[^a-z]|$)", re.IGNORECASE)
_LAST = re.compile(r"(?:^|[^a-z])(?:last|final|latest)(?:[^a-z]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Saved:
    """How many steps and epochs a checkpoint counts, NaN where not known, and who says so."""

    steps: float = math.nan
    epoch: float = math.nan
    steps_by: str = ""
    epoch_by: str = ""
    name: str = ""


def saved(plain: Mapping[str, Any], path: Path) -> Saved:
    """Return what a checkpoint's own counters tell, else its name and that of its folder."""
    name = clean_text(path.name, 80)
    step_key, steps = _counter(plain, STEPS)
    epoch_key, epoch = _counter(plain, EPOCHS)
    steps_by = epoch_by = "`{}` in the checkpoint"
    if math.isnan(steps):
        found = _STEP.search(path.stem) or _STEP.fullmatch(path.parent.name)
        steps, steps_by = (float(found[1]), "its name") if found else (math.nan, "")
    if math.isnan(epoch):
        named = _EPOCH.search(path.stem)
        epoch, epoch_by = (float(named[1]), "its name") if named else (math.nan, "")
    return Saved(steps, epoch, steps_by.format(step_key), epoch_by.format(epoch_key), name)


def _counter(plain: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, float]:
    for key in keys:
        value = plain.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
            return key, float(value)
    return "", math.nan


def fits(log: TrainingLog, of: Saved) -> bool | None:
    """Tell whether a checkpoint may be of the run that a log tells of; None where nothing tells."""
    first, last = first_place(log), last_place(log)
    if log.unit == "steps" and not math.isnan(of.steps):
        return of.steps <= last * BEYOND + 1 and of.steps >= first - 1
    epochs = _epochs(log)
    if epochs.size and not math.isnan(of.epoch):
        return bool(of.epoch <= epochs.max() + 1.5)
    return None


def ends_at(log: TrainingLog, of: Saved) -> bool:
    """Tell whether a log ends where a checkpoint was saved, to a row of it."""
    if log.unit == "steps" and not math.isnan(of.steps):
        return abs(last_place(log) - of.steps) <= max(_gap(log), 1.0)
    epochs = _epochs(log)
    return bool(epochs.size and abs(epochs.max() - of.epoch) <= 1)


def placed(log: TrainingLog, of: Saved) -> TrainingLog:
    """Return the log with the place at which a checkpoint was saved, where that can be told."""
    if log.unit == "steps" and not math.isnan(of.steps):
        return replace(log, saved_at=of.steps, saved_by=of.steps_by)
    if not math.isnan(of.epoch):
        longest = max(log.series, key=lambda s: np.isfinite(s.epochs).sum(), default=None)
        if longest is not None and np.isfinite(longest.epochs).any():
            there = np.floor(longest.epochs) <= of.epoch
            if there.any():
                at = float(longest.x[there].max())
                return replace(log, saved_at=at, saved_by=of.epoch_by)
    val = log.named("val_loss")
    if _BEST.search(of.name) and val is not None and len(val.finite.x):
        best = int(np.argmin(val.finite.values))
        return replace(log, saved_at=float(val.finite.x[best]), saved_by="its name, the best")
    if _LAST.search(of.name):
        return replace(log, saved_at=last_place(log), saved_by="its name, the last")
    return log


def _epochs(log: TrainingLog) -> Any:
    told = [one.epochs[np.isfinite(one.epochs)] for one in log.series]
    return np.concatenate(told) if told else np.zeros(0)


def _gap(log: TrainingLog) -> float:
    gaps = [float(np.diff(one.x).max()) for one in log.series if len(one.x) > 1]
    return max(gaps, default=1.0)
