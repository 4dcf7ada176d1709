"""What copies gain that are freed of regularisation, with its certainty."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.statistics import Interval, mean_interval, paired_bootstraps
from auditor.observations.regularisation import Released

CONFIDENCE = 0.99
"""Of the gain, shared among the points of the line."""


@dataclass(frozen=True)
class Gain:
    """The share of the loss that goes on the best point of the line, `time` along it.

    [low, high] hold it at 99 %, shared among the points; `usual` at 95 %, for the record. It is
    `sure` where low is above 0. `before` and `after` are accuracies, NaN where there are none.
    """

    share: float
    low: float
    high: float
    usual: Interval
    time: float
    before: float
    after: float
    measure: str
    start: str
    steps: int
    optimizer: str

    @property
    def sure(self) -> bool:
        """Tell whether anything is gained beyond doubt."""
        return self.low > 0


def gain_of(released: Released, rng: np.random.Generator) -> Gain | None:
    """Return the surest gain on the line, None where no point of it can be scored."""
    held = released.losses[0]
    size = float(np.mean(held)) if np.isfinite(held).all() else math.nan
    if not size > 0:
        return None
    points = [i for i in range(1, len(released.times)) if np.isfinite(released.losses[i]).all()]
    level = 1 - (1 - CONFIDENCE) / max(1, len(released.times) - 1)
    best: Gain | None = None
    for i in points:
        freed = released.losses[i]
        if len(held) > 8:
            (low, high), usual = paired_bootstraps(held, freed, rng, (level, 0.95))
        else:
            # A bootstrap of so few batches is too narrow.
            (low, high), usual = (mean_interval(held - freed, c) for c in (level, 0.95))
        gain = Gain(
            share=float(np.mean(held - freed)) / size,
            low=low / size,
            high=high / size,
            usual=(usual[0] / size, usual[1] / size),
            time=float(released.times[i]),
            before=float(released.scores[0]),
            after=float(released.scores[i]),
            measure=released.measure,
            start=released.start,
            steps=released.steps,
            optimizer=released.optimizer,
        )
        if best is None or gain.low > best.low:
            best = gain
    return best
