"""The log of a training run: what was written down while the model was trained."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Request
from auditor.core.values import Array, Number

AxisUnit = Literal["steps", "epochs", "rows"]


@dataclass(frozen=True)
class LoggedSeries:
    """One quantity: `values` at the places `x` of the run, in order, and the `epochs` told there.

    `name` is the canonical one ("val_loss"), `column` the log's own. Values may be NaN or infinite
    where the log says so; an epoch is NaN where none is told.
    """

    name: str
    column: str
    x: Array
    values: Array
    epochs: Array

    @property
    def finite(self) -> "LoggedSeries":
        """Return the series without the values that are not finite."""
        kept = np.isfinite(np.asarray(self.values, float))
        x, values, epochs = (np.asarray(a)[kept] for a in (self.x, self.values, self.epochs))
        return LoggedSeries(self.name, self.column, x, values, epochs)


@dataclass(frozen=True)
class TrainingLog:
    """A log as it was read: `source` tells which file, `format` of which kind.

    `unit` is what the places of the run are counted in; rows of the log, where it tells neither
    steps nor epochs. Canonical names are "train_loss", "val_loss", "lr", "grad_norm",
    "train_<metric>" and "val_<metric>". `saved_at` is the place of the run at which the audited
    checkpoint was saved, NaN where that is not known; `saved_by` tells how it is. `notes` say what
    was left out.
    """

    source: str
    format: str
    unit: AxisUnit
    series: tuple[LoggedSeries, ...]
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    saved_at: Number = math.nan
    saved_by: str = ""

    def named(self, name: str) -> LoggedSeries | None:
        """Return a series by its canonical name."""
        return next((one for one in self.series if one.name == name), None)

    def at(self, x: float) -> str:
        """Return a place of the run in words: "epoch 7", "step 1,200 (epoch 3)"."""
        if self.unit == "epochs":
            return f"epoch {x:,.4g}" if abs(x) < 1e4 else f"epoch {x:,.0f}"
        said = f"{'step' if self.unit == 'steps' else 'row'} {x:,.0f}"
        epoch = self._epoch(x)
        return f"{said} (epoch {epoch:,.4g})" if math.isfinite(epoch) else said

    def _epoch(self, x: float) -> float:
        for one in self.series:
            place = int(np.searchsorted(one.x, x))
            if place < len(one.x) and one.x[place] == x and math.isfinite(one.epochs[place]):
                return float(one.epochs[place])
        return math.nan


@dataclass(frozen=True)
class TrainingLogOf(Request[TrainingLog]):
    """Asks for the log of the training run."""

    answer: ClassVar = TrainingLog
    requires: ClassVar[frozenset[Capability]] = frozenset()
