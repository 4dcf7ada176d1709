"""The schedule of the learning rate: what is known of it, and the course that it gives the rate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Request
from auditor.core.values import Array, Number
from auditor.observations.settings import Plain

Unit = Literal["epochs", "steps", "updates", ""]


@dataclass(frozen=True)
class Schedule:
    """The schedule's class or the user's words in `name`, empty where nothing is known of one.

    `source` tells where from, `values` its settings and state. `taken` counts the steps that it
    made, None where not known: by its saved state, or as many as training had of its `unit`.
    `horizon` is the number of steps that it is laid out for, None where it has none. `x` and
    `rates` [points] are the rate before each step, by its formula, to the end of the longer of the
    two; empty where the formula is not known. `first` and `last` are the rates at the start and at
    the end of training that state or optimizer tell, NaN where neither does.

    `logged_x` and `logged` are steps and rates of a log of training, `log_source` where it lies.
    `note` tells of what was ignored.
    """

    name: str
    source: str
    values: Mapping[str, Plain]
    taken: Number | None
    horizon: Number | None
    unit: Unit
    x: Array
    rates: Array
    first: Number
    last: Number
    logged_x: Array
    logged: Array
    log_source: str = ""
    note: str = ""

    @property
    def share(self) -> float:
        """Return the last rate as a share of the highest, NaN where it is not known."""
        course = self.course
        if course.size:
            top = float(course.max())
            return float(course[-1]) / top if top > 0 else np.nan
        return self.last / self.first if self.first > 0 else np.nan

    @property
    def course(self) -> Array:
        """Return the rates that training went through: those logged, else those by the formula."""
        if np.asarray(self.logged).size > 1:
            return np.asarray(self.logged, float)
        x, rates = np.asarray(self.x, float), np.asarray(self.rates, float)
        if self.taken is None or not x.size:
            return rates[:0]
        return rates[x <= max(float(self.taken) - 1, 0.0)]


@dataclass(frozen=True)
class ScheduleOf(Request[Schedule]):
    """Asks for the schedule of the learning rate."""

    answer: ClassVar = Schedule
    requires: ClassVar[frozenset[Capability]] = frozenset()
