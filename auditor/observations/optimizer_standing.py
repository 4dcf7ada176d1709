"""What a race between optimizers shows: who got how far, paired by the weights they began with."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.statistics import mean_interval
from auditor.core.values import Array
from auditor.observations.optimizer_race import Kind, OptimizerRace, Racer

SURE = 0.99

SCARCE = 0.01
"""Share of the best racer's progress below which another's is too little to compare with."""


@dataclass(frozen=True)
class Standing:
    """How far a racer got, as a share of how far another did, with its 95 % interval.

    The held loss tells how far. `behind(share)` asks for 99 %: less than that share, and a higher
    training loss all along.
    """

    racer: Racer
    rival: Racer
    share: float
    low: float
    high: float
    ends: tuple[Array, Array]
    areas: tuple[Array, Array]
    rivals: int

    def behind(self, share: float) -> bool:
        """Tell whether the racer is beyond doubt below that share of the other's progress."""
        end = self._bounds(self.ends[0] - share * self.ends[1], 2 * (1 - SURE) / self.rivals)
        area = self._bounds(self.areas[0] - self.areas[1], 2 * (1 - SURE) / self.rivals)
        return self.learns and end[1] < 0 and area[1] < 0

    def ahead(self, share: float) -> bool:
        """Tell whether the racer is above that share of the other's progress, at 95 %."""
        return self._bounds(self.ends[0] - share * self.ends[1], 0.05)[0] > 0

    @property
    def learns(self) -> bool:
        """Tell whether the other makes progress beyond doubt."""
        return self._bounds(self.ends[1], 2 * (1 - SURE) / self.rivals)[0] > 0

    @staticmethod
    def _bounds(values: Array, doubt: float) -> tuple[float, float]:
        return mean_interval(values, 1 - doubt)


def most_progress(race: OptimizerRace) -> float:
    """Return the mean fall of the held loss in the best racer, 0 where none got anywhere."""
    before = np.asarray(race.before, float)
    falls = [before - np.asarray(racer.after, float) for racer in race.racers]
    known = [fall[np.isfinite(fall)] for fall in falls]
    return max((float(fall.mean()) for fall in known if fall.size), default=0.0)


def standing(race: OptimizerRace, racer: Racer, rival: Racer, rivals: int = 1) -> Standing | None:
    """Return how a racer stands against another; None where that one made too little progress.

    `rivals` are those among whom the doubt is shared out.
    """
    most = most_progress(race)
    if not most > 0:
        return None
    own, other = (one.progress(race.before, most) for one in (racer, rival))
    scale = float(other[0].mean())
    if not scale > SCARCE * most:
        return None
    shares = own[0] / scale
    low, high = mean_interval(shares)
    return Standing(
        racer,
        rival,
        float(shares.mean()),
        low,
        high,
        (own[0], other[0]),
        (own[1], other[1]),
        rivals,
    )


def best_of(race: OptimizerRace, *kinds: Kind) -> Racer | None:
    """Return the racer of these kinds that ends with the least loss on average."""
    ends = {racer.kind: _mean(racer) for racer in race.racers if racer.kind in kinds}
    if not ends:
        return None
    return race.racer(min(ends, key=lambda kind: ends[kind]))


def _mean(racer: Racer) -> float:
    after = np.asarray(racer.after, float)
    return float(after.mean()) if np.isfinite(after).all() else math.inf
