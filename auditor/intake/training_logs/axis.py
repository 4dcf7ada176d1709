"""Where in the run each row of a log was written."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.values import Array
from auditor.intake.training_logs.names import EPOCHS, STEPS, first_of
from auditor.intake.training_logs.table import Row
from auditor.observations.training_log import AxisUnit

MOST_MISSING = 0.1
"""Share of rows that may tell neither step nor epoch and be left out."""


@dataclass(frozen=True)
class Axis:
    """The place `x` [rows] in the run at which each row was written, and the epoch it tells.

    A row that can't be placed has NaN. `columns` are those that were read for it.
    """

    unit: AxisUnit
    x: Array
    epochs: Array
    columns: frozenset[str]
    notes: tuple[str, ...] = ()


def axis_of(rows: tuple[Row, ...], columns: tuple[str, ...]) -> Axis:
    """Return the places of rows: by steps where the log counts any, else by epochs, else in order.

    Steps that begin again with each epoch are counted on. A row without a step is of the step
    before it in the log, as validation at the end of an epoch is.
    """
    step, epoch = first_of(STEPS, columns), first_of(EPOCHS, columns)
    used = frozenset(name for name in (step, epoch) if name is not None)
    epochs = _column(rows, epoch)
    steps = _column(rows, step)
    if np.isfinite(steps).any():
        x, began_again = _counted_on(steps, epochs)
        if np.isnan(x).mean() <= MOST_MISSING:
            said = ("Steps begin again with each epoch: they are counted on.",)
            return Axis("steps", x, epochs, used, said if began_again else ())
    if np.isfinite(epochs).any() and np.isnan(epochs).mean() <= MOST_MISSING:
        return Axis("epochs", epochs, epochs, used)
    return Axis("rows", np.arange(1.0, len(rows) + 1), epochs, used)


def _column(rows: tuple[Row, ...], name: str | None) -> Array:
    values = np.asarray([row.get(name, math.nan) if name else math.nan for row in rows], float)
    values[~(np.abs(values) < 1e15)] = math.nan
    return values


def _counted_on(steps: Array, epochs: Array) -> tuple[Array, bool]:
    """Return steps that go on where an epoch begins to count them anew, and whether any did."""
    x = np.full(len(steps), math.nan)
    begun: dict[float, float] = {}
    offset, last, last_step, gap = 0.0, math.nan, math.nan, 1.0
    epoch, told_epoch, told_step, again = math.nan, math.nan, math.nan, False
    for place, (step, told) in enumerate(zip(steps.tolist(), epochs.tolist(), strict=True)):
        if math.isnan(step):
            x[place] = last
            continue
        whole = math.floor(told) if not math.isnan(told) else epoch
        same = step == told_step and told >= told_epoch + 1
        if whole in begun:
            offset = begun[whole]
        elif same or (step < last_step and whole > epoch):
            offset, again = last + gap - step, True
        if step > last_step:
            gap = step - last_step
        begun.setdefault(whole, offset)
        if not math.isnan(told):
            told_epoch, told_step = told, step
        epoch, last_step, last = whole, step, step + offset
        x[place] = last
    first = next(iter(x[np.isfinite(x)].tolist()), math.nan)
    x[np.isnan(x) & (np.cumsum(np.isfinite(x)) == 0)] = first
    return x, again
